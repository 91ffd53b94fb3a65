"""Agents: unique names, order, and what their deletion hides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.config.store import ConfigStore
from focal_core.errors import DuplicateError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import (
    AGENT,
    OTHER_AGENT,
    QUERY,
    activation,
    agent,
    at,
    near,
    plan,
    rule,
    scenario,
    template,
    variable,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def _save_children(store: ConfigStore) -> None:
    await store.save_rule(near(0, 0.8))
    await store.save_scenario(scenario(0, entry_embedding=at(0.8), entry_embedding_model="m"))
    await store.save_template(template(0))
    await store.save_variable(variable(0))
    await store.save_tool_activation(activation(0))


async def _children(store: ConfigStore) -> list[Any]:
    """Return what each read of an agent's children comes to."""
    return [
        await store.get_rule(OURS, rule(0).id),
        await store.get_rules(OURS, AGENT),
        await store.vector_search_rules(QUERY, OURS, AGENT),
        await store.get_scenario(OURS, scenario(0).id),
        await store.get_scenarios(OURS, AGENT),
        await store.vector_search_scenarios(QUERY, OURS, AGENT),
        await store.get_template(OURS, template(0).id),
        await store.get_templates(OURS, AGENT),
        await store.get_variable(OURS, variable(0).id),
        await store.get_variable_by_name(OURS, AGENT, variable(0).name),
        await store.get_variables(OURS, AGENT),
        await store.get_tool_activation(OURS, AGENT, activation(0).tool_id),
        await store.list_tool_activations(OURS, AGENT),
    ]


class AgentContract(ContractBase):
    """``save_agent``, ``get_agent``, ``list_agents`` and ``delete_agent``."""

    @requirement("CONFIG-001", since="1.0")
    async def test_save_and_get_agent(self, store: ConfigStore) -> None:
        """A saved agent is found by its id with all its settings; default_model is settings.model.

        If this fails: a part of the settings has no place in the store.
        """
        given = agent(0, system_prompt="Be kind.", default_model="m-1", current_version=3, enabled=False)
        given.settings.max_tokens = 77
        await store.save_agent(agent(0, tenant=THEIRS))

        assert await store.save_agent(given) == given.id

        found = await store.get_agent(OURS, given.id)
        assert found == given
        assert found is not None
        assert (found.default_model, found.settings.model, found.settings.max_tokens) == ("m-1", "m-1", 77)
        assert await store.get_agent(OURS, OTHER_AGENT) is None
        with pytest.raises(ValidationError):
            agent(0, default_model="m-1", settings={"model": "m-2"})

    @requirement("CONFIG-002", since="1.0")
    async def test_unique_agent_name_live_only(self, store: ConfigStore) -> None:
        """A name belongs to one live agent of a tenant, in exactly its letters; deletion frees it (INV-A1).

        If this fails: the key lacks the tenant, folds letters, or holds deleted agents.
        """
        first = agent(0, name="Support")
        await store.save_agent(first)
        await store.save_agent(agent(0, tenant=THEIRS, name="Support"))
        await store.save_agent(agent(1, name="support"))
        await store.save_agent(first)

        with pytest.raises(DuplicateError):
            await store.save_agent(agent(2, name="Support"))
        assert await store.get_agent(OURS, agent(2).id) is None

        await store.delete_agent(OURS, first.id)
        await store.save_agent(agent(2, name="Support"))
        with pytest.raises(DuplicateError):
            await store.save_agent(agent(0, name="Support", deleted_at=None, row_version=first.row_version))
        assert await store.get_agent(OURS, first.id) is None

    @requirement("CONFIG-003", since="1.0")
    async def test_renaming_frees_the_name(self, store: ConfigStore) -> None:
        """A name that an agent gave up may be taken by another one.

        If this fails: the old name stays in an index.
        """
        await store.save_agent(agent(0, name="old"))
        await store.save_agent(agent(0, name="new"))

        await store.save_agent(agent(1, name="old"))

        assert [one.name for one in await store.list_agents(OURS)] == ["new", "old"]

    @requirement("CONFIG-004", since="1.0")
    async def test_concurrent_agents_of_one_name(self, store: ConfigStore) -> None:
        """Of concurrent saves of agents with one name exactly one is stored.

        If this fails: the check and the write are two steps.
        """
        results = await asyncio.gather(
            *(store.save_agent(agent(n, name="Support")) for n in range(8)), return_exceptions=True
        )

        assert sum(isinstance(result, DuplicateError) for result in results) == 7
        assert len(await store.list_agents(OURS)) == 1

    @requirement("CONFIG-005", since="1.0")
    async def test_list_agents_by_name(self, store: ConfigStore) -> None:
        """Agents are listed by name in the order of code points, disabled ones too unless asked otherwise.

        If this fails: a locale decides the order, or disabled agents are left out by default.
        """
        for n, name in enumerate(["b", "9", "Z", "10", "é", "a"]):
            await store.save_agent(agent(n, name=name, enabled=name != "Z"))
        await store.save_agent(agent(0, tenant=THEIRS, name="aa"))

        everything = await store.list_agents(OURS)
        enabled = await store.list_agents(OURS, enabled_only=True)

        assert [one.name for one in everything] == ["10", "9", "Z", "a", "b", "é"]
        assert [one.name for one in enabled] == ["10", "9", "a", "b", "é"]

    @requirement("CONFIG-006", since="1.0")
    async def test_soft_delete_agent_hides_children(self, store: ConfigStore) -> None:
        """What belongs to a deleted agent is hidden from get, list and search until the agent is revived.

        If this fails: one of the reads does not ask for the agent, or deletion cascades.
        """
        owner = agent(0, id=AGENT)
        await store.save_agent(owner)
        await _save_children(store)
        await store.save_rule(rule(9, agent_id=OTHER_AGENT))
        await store.save_migration_plan(plan(0))
        before = await _children(store)
        assert all(before)

        await store.delete_agent(OURS, AGENT)

        assert not any(await _children(store))
        assert len(await store.get_rules(OURS, OTHER_AGENT)) == 1
        assert await store.get_migration_plan(OURS, plan(0).id) is not None
        await store.save_agent(agent(0, id=AGENT, deleted_at=None, row_version=owner.row_version))
        assert await _children(store) == before

    @requirement("CONFIG-007", since="1.0")
    async def test_agent_need_not_exist(self, store: ConfigStore) -> None:
        """Children of an agent that was never saved are visible, whatever happens to another tenant's agent.

        If this fails: an absent agent is taken for a deleted one, or the tenant is left out of the question.
        """
        await store.save_agent(agent(0, tenant=THEIRS, id=AGENT))
        await store.delete_agent(THEIRS, AGENT)

        await _save_children(store)

        assert all(await _children(store))

    @requirement("CONFIG-008", since="1.0")
    async def test_hidden_children_are_kept(self, store: ConfigStore) -> None:
        """A hidden row cannot be deleted, a row saved under a deleted agent is hidden too, and both come back.

        If this fails: deletion reaches what no read shows, or a save is lost or shows up before the agent.
        """
        owner = agent(0, id=AGENT)
        await store.save_agent(owner)
        await _save_children(store)
        await store.delete_agent(OURS, AGENT)

        await store.save_rule(rule(1))

        deleted = [
            await store.delete_rule(OURS, rule(0).id),
            await store.delete_scenario(OURS, scenario(0).id),
            await store.delete_template(OURS, template(0).id),
            await store.delete_variable(OURS, variable(0).id),
            await store.delete_tool_activation(OURS, AGENT, activation(0).tool_id),
        ]
        assert not any(deleted)
        assert await store.get_rule(OURS, rule(1).id) is None
        await store.save_agent(agent(0, id=AGENT, deleted_at=None, row_version=owner.row_version))
        assert all(await _children(store))
        assert [one.id for one in await store.get_rules(OURS, AGENT)] == [rule(0).id, rule(1).id]
