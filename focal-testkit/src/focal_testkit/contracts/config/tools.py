"""Tool activations: one for each agent and tool, removed for good."""

from __future__ import annotations

from datetime import timedelta

import pytest

from focal_core.clock import ManualClock
from focal_core.config.store import ConfigStore
from focal_core.errors import DuplicateError, InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.config import AGENT, OTHER_AGENT, START, activation
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class ToolContract(ContractBase):
    """Tool activations."""

    @requirement("CONFIG-062", since="1.0")
    async def test_tool_activation_natural_key(self, store: ConfigStore, clock: ManualClock) -> None:
        """Tenant, agent and tool are the key: a later save replaces everything but the first one's id and created_at.

        If this fails: a second row is made, the new id is returned, or the key lacks the tenant or the agent.
        """
        began = clock.now()
        first = activation(0, tool_id="search", policy_overrides={"a": 1}, created_at=None)
        await store.save_tool_activation(activation(0, tenant=THEIRS, tool_id="search"))
        await store.save_tool_activation(activation(1, agent_id=OTHER_AGENT, tool_id="search"))
        assert await store.save_tool_activation(first) == first.id
        assert await store.get_tool_activation(OURS, AGENT, "search") == first
        clock.advance(seconds=60)
        second = activation(5, tool_id="search", enabled=False, disabled_at=START, policy_override={"b": 2})

        assert await store.save_tool_activation(second) == first.id

        found = await store.get_tool_activation(OURS, AGENT, "search")
        assert found is not None
        assert (found.id, found.enabled, found.disabled_at) == (first.id, False, START)
        assert found.policy_overrides == {"b": 2}
        assert (found.created_at, found.updated_at) == (began, clock.now())
        assert (second.created_at, second.updated_at) == (began, clock.now())
        assert await store.list_tool_activations(OURS, AGENT) == [found]
        other = await store.get_tool_activation(OURS, OTHER_AGENT, "search")
        assert other is not None
        assert other.id == activation(1).id

    @requirement("CONFIG-063", since="1.0")
    async def test_tool_activations_order(self, store: ConfigStore) -> None:
        """The activations of an agent come by created_at, then id, disabled ones too unless asked otherwise.

        If this fails: ties are in the order of saving or of tools, or the default is the wrong way round.
        """
        for n, minutes in ((3, 5), (10, 0), (9, 0), (2, 5)):
            created_at = START + timedelta(minutes=minutes)
            await store.save_tool_activation(activation(n, created_at=created_at, enabled=n != 9))
        await store.save_tool_activation(activation(4, agent_id=OTHER_AGENT))
        await store.save_tool_activation(activation(5, tenant=THEIRS))

        everything = await store.list_tool_activations(OURS, AGENT)
        enabled = await store.list_tool_activations(OURS, AGENT, enabled_only=True)

        assert [one.id for one in everything] == [activation(n).id for n in (9, 10, 2, 3)]
        assert [one.id for one in enabled] == [activation(n).id for n in (10, 2, 3)]

    @requirement("CONFIG-064", since="1.0")
    async def test_tool_activation_is_removed_for_good(self, store: ConfigStore) -> None:
        """A removed activation is gone, and a new one for the tool starts afresh; its neighbours stay.

        If this fails: a row is left behind, or another agent's or tool's activation goes too.
        """
        for n in (0, 1):
            await store.save_tool_activation(activation(n))
        await store.save_tool_activation(activation(2, agent_id=OTHER_AGENT, tool_id="tool-0"))
        await store.save_tool_activation(activation(0, tenant=THEIRS))

        assert await store.delete_tool_activation(OURS, AGENT, "tool-0") is True

        assert await store.delete_tool_activation(OURS, AGENT, "tool-0") is False
        assert await store.get_tool_activation(OURS, AGENT, "tool-0") is None
        assert [one.tool_id for one in await store.list_tool_activations(OURS, AGENT)] == ["tool-1"]
        assert await store.get_tool_activation(OURS, OTHER_AGENT, "tool-0") is not None
        assert await store.get_tool_activation(THEIRS, AGENT, "tool-0") is not None
        afresh = activation(7, tool_id="tool-0")
        assert await store.save_tool_activation(afresh) == afresh.id
        assert await store.get_tool_activation(OURS, AGENT, "tool-0") == afresh

    @requirement("CONFIG-065", since="1.0")
    async def test_activation_id_of_another_tool(self, store: ConfigStore) -> None:
        """An id that belongs to another tool's or agent's activation is refused, and deleted_at is never set.

        If this fails: two rows share an id, or one silently becomes another tool's.
        """
        await store.save_tool_activation(activation(0))

        for fields in ({"tool_id": "other"}, {"agent_id": OTHER_AGENT}):
            with pytest.raises(DuplicateError):
                await store.save_tool_activation(activation(0, **fields))
        with pytest.raises(InvalidDataError):
            await store.save_tool_activation(activation(1, deleted_at=START))

        assert [one.tool_id for one in await store.list_tool_activations(OURS, AGENT)] == ["tool-0"]

    @requirement("CONFIG-066", since="1.0")
    async def test_tool_ids_are_exact(self, store: ConfigStore) -> None:
        """A tool is found by exactly its id, whatever signs it holds; what no id can be is refused.

        If this fails: the id is part of a pattern or key, is folded, or reaches the backend unchecked.
        """
        for n, tool_id in enumerate(hostile.IDENTIFIERS.values()):
            await store.save_tool_activation(activation(n, tool_id=tool_id))

        for n, tool_id in enumerate(hostile.IDENTIFIERS.values()):
            found = await store.get_tool_activation(OURS, AGENT, tool_id)
            assert found is not None
            assert (found.id, found.tool_id) == (activation(n).id, tool_id)
        for refused in hostile.REFUSED_IDENTIFIERS.values():
            with pytest.raises(InvalidDataError):
                await store.get_tool_activation(OURS, AGENT, refused)
            with pytest.raises(InvalidDataError):
                await store.delete_tool_activation(OURS, AGENT, refused)
