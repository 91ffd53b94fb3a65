"""Variables: unique names, values of any JSON type."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.config.models import VariableMergePolicy, VariableUpdatePolicy
from focal_core.config.store import ConfigStore
from focal_core.errors import DuplicateError, InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.config import AGENT, OTHER_AGENT, START, numbered, variable
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class VariableContract(ContractBase):
    """``save_variable``, ``get_variable``, ``get_variable_by_name``, ``get_variables`` and ``delete_variable``."""

    @requirement("CONFIG-055", since="1.0")
    async def test_save_and_get_variable(self, store: ConfigStore) -> None:
        """A saved variable is found by its id with every field, its default of whatever JSON type.

        If this fails: a scalar default is stored as text, or null as no value.
        """
        await store.save_variable(variable(0, tenant=THEIRS))
        values: list[Any] = [None, True, 0, 1.0, "", "null", [], {}, ["a", {"b": None}], 2**70]
        for n, value in enumerate(values):
            saved = variable(
                n, default_value=value, update_policy="on_each_turn", resolver_tool_id="t", cache_ttl_seconds=7
            )

            assert await store.save_variable(saved) == saved.id

            found = await store.get_variable(OURS, saved.id)
            assert found == saved
            assert found is not None
            assert type(found.default_value) is type(value)
        assert await store.get_variable(OURS, numbered(99)) is None

    @requirement("CONFIG-056", since="1.0")
    async def test_unique_variable_name(self, store: ConfigStore) -> None:
        """A name belongs to one live variable of an agent; deletion and renaming free it (INV-V1).

        If this fails: the key lacks the tenant or the agent, or holds deleted variables.
        """
        first = variable(0, name="order")
        await store.save_variable(first)
        await store.save_variable(first)
        await store.save_variable(variable(0, tenant=THEIRS, name="order"))
        await store.save_variable(variable(1, agent_id=OTHER_AGENT, name="order"))

        with pytest.raises(DuplicateError):
            await store.save_variable(variable(2, name="order"))
        assert await store.get_variable(OURS, variable(2).id) is None

        await store.delete_variable(OURS, first.id)
        await store.save_variable(variable(2, name="order"))
        with pytest.raises(DuplicateError):
            await store.save_variable(variable(0, name="order", deleted_at=None, row_version=first.row_version))
        await store.save_variable(variable(2, name="renamed"))
        await store.save_variable(variable(3, name="order"))
        assert [one.name for one in await store.get_variables(OURS, AGENT)] == ["renamed", "order"]

    @requirement("CONFIG-057", since="1.0")
    async def test_get_variable_by_name(self, store: ConfigStore) -> None:
        """A variable is found by exactly its name, within its agent, while it is live.

        If this fails: the name is a pattern, or the agent or deletion is left out of the question.
        """
        mine = variable(0, name="order_id")
        await store.save_variable(mine)
        await store.save_variable(variable(1, name="orderxid"))
        await store.save_variable(variable(2, name="elsewhere", agent_id=OTHER_AGENT))
        await store.save_variable(variable(3, tenant=THEIRS, name="theirs"))

        assert await store.get_variable_by_name(OURS, AGENT, "order_id") == mine
        for name in ("order", "ORDER_ID", "elsewhere", "theirs", "%", "o'neil\"s"):
            assert await store.get_variable_by_name(OURS, AGENT, name) is None
        await store.delete_variable(OURS, mine.id)
        assert await store.get_variable_by_name(OURS, AGENT, "order_id") is None
        for refused in hostile.REFUSED_IDENTIFIERS.values():
            with pytest.raises(InvalidDataError):
                await store.get_variable_by_name(OURS, AGENT, refused)

    @requirement("CONFIG-058", since="1.0")
    async def test_variables_order(self, store: ConfigStore) -> None:
        """The variables of an agent come by created_at, then id.

        If this fails: ties are in the order of saving or of names, or another agent's variables are listed.
        """
        for n, minutes in ((3, 5), (10, 0), (9, 0), (2, 5)):
            await store.save_variable(variable(n, created_at=START + timedelta(minutes=minutes)))
        await store.save_variable(variable(4, agent_id=OTHER_AGENT))
        await store.save_variable(variable(5, tenant=THEIRS))

        found = await store.get_variables(OURS, AGENT)

        assert [one.id for one in found] == [variable(n).id for n in (9, 10, 2, 3)]

    @requirement("CONFIG-059", since="1.0")
    async def test_concurrent_variables_of_one_name(self, store: ConfigStore) -> None:
        """Of concurrent saves of variables with one name exactly one is stored.

        If this fails: the check and the write are two steps.
        """
        results = await asyncio.gather(
            *(store.save_variable(variable(n, name="order")) for n in range(8)), return_exceptions=True
        )

        assert sum(isinstance(result, DuplicateError) for result in results) == 7
        assert len(await store.get_variables(OURS, AGENT)) == 1

    @requirement("CONFIG-060", since="1.0")
    async def test_policies(self, store: ConfigStore) -> None:
        """A merge policy given as update_policy is moved to merge_policy; names are lower case and hold no sign but _.

        If this fails: one of the two policies has no place in the store, or the store trusts a changed object.
        """
        await store.save_variable(variable(0, update_policy="APPEND"))
        await store.save_variable(variable(1, update_policy="On_Each_Turn", merge_policy="merge"))

        moved, both = await store.get_variables(OURS, AGENT)

        assert (moved.update_policy, moved.merge_policy) == (VariableUpdatePolicy.ON_DEMAND, VariableMergePolicy.APPEND)
        assert (both.update_policy, both.merge_policy) == (VariableUpdatePolicy.ON_EACH_TURN, VariableMergePolicy.MERGE)
        with pytest.raises(ValidationError):
            variable(2, update_policy="append", merge_policy="merge")
        for name in ("Order", "1st", "a-b", "a b", "ä", "a\n", "", "a" * 51):
            with pytest.raises(ValidationError):
                variable(2, name=name)
            broken = variable(2)
            broken.__dict__["name"] = name
            with pytest.raises(InvalidDataError):
                await store.save_variable(broken)
        assert await store.save_variable(variable(2, name="_" + "a" * 49)) == variable(2).id
