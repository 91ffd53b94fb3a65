"""One runnable example of every config method."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from focal_core.config.models import Agent, MigrationPlan, Rule, Scenario, Scope, Template, ToolActivation, Variable
from focal_core.config.store import ConfigStore
from focal_testkit.data.config import (
    AGENT,
    NAMES,
    NEVER,
    QUERY,
    SCENARIO,
    START,
    activation,
    agent,
    at,
    near,
    numbered,
    plan,
    rule,
    scenario,
    template,
    variable,
)
from focal_testkit.scenarios import Listing, Scenarios, Stored

_MANAGED = frozenset({"deleted_at", "row_version"})


class _Archived(Stored):
    def __str__(self) -> str:
        return "ScenarioArchive"


async def _archived(store: ConfigStore, one: Scenario) -> Scenario | None:
    found = await store.get_archived_scenario(one.tenant_id, one.id, one.version)
    return None if found is None else found.scenario_data


async def _add_rule(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    # Priorities 11, 10, 9, 8; within each two times; within each two ids.
    created_at = START + timedelta(minutes=n // 2 % 2)
    return await store.save_rule(rule(n, tenant, priority=11 - n // 4, created_at=created_at))


async def _add_scenario(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    return await store.save_scenario(scenario(n, tenant, created_at=START + timedelta(minutes=n // 2)))


async def _add_template(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    return await store.save_template(template(n, tenant, created_at=START + timedelta(minutes=n // 2)))


async def _add_variable(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    return await store.save_variable(variable(n, tenant, created_at=START + timedelta(minutes=n // 2)))


async def _add_activation(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    return await store.save_tool_activation(activation(n, tenant, created_at=START + timedelta(minutes=n // 2)))


async def _add_agent(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    name = NAMES[n] if n < len(NAMES) else f"{NAMES[-1]}{n}"
    return await store.save_agent(agent(n, tenant, name=name, created_at=START - timedelta(minutes=n)))


async def _add_plan(store: ConfigStore, tenant: UUID, n: int) -> UUID:
    # Newest first, and of equal times the lower id: so the later of two has the lower id.
    created_at = START + timedelta(minutes=n // 2)
    return await store.save_migration_plan(plan(n ^ 1, tenant, created_at=created_at))


class ConfigScenarios(Scenarios):
    """One agent with three rules, a scenario and its archived version, a template, a variable, a tool and a plan."""

    store_class = ConfigStore
    creates = frozenset(
        {"save_agent", "save_rule", "save_scenario", "save_template", "save_variable", "save_tool_activation"}
        | {"save_migration_plan", "archive_scenario"}
    )
    stored = (
        Stored(
            Agent,
            save=lambda store, one: store.save_agent(one),
            get=lambda store, one: store.get_agent(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
        Stored(
            Rule,
            save=lambda store, one: store.save_rule(one),
            get=lambda store, one: store.get_rule(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
        Stored(
            Scenario,
            save=lambda store, one: store.save_scenario(one),
            get=lambda store, one: store.get_scenario(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
        _Archived(
            Scenario, save=lambda store, one: store.archive_scenario(one), get=_archived, unset=_MANAGED
        ),
        Stored(
            Template,
            save=lambda store, one: store.save_template(one),
            get=lambda store, one: store.get_template(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
        Stored(
            Variable,
            save=lambda store, one: store.save_variable(one),
            get=lambda store, one: store.get_variable(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
        Stored(
            ToolActivation,
            save=lambda store, one: store.save_tool_activation(one),
            get=lambda store, one: store.get_tool_activation(one.tenant_id, one.agent_id, one.tool_id),
            unset=frozenset({"deleted_at"}),
        ),
        Stored(
            MigrationPlan,
            save=lambda store, one: store.save_migration_plan(one),
            get=lambda store, one: store.get_migration_plan(one.tenant_id, one.id),
            unset=_MANAGED,
        ),
    )
    listings = (
        Listing(
            "get_rules",
            add=_add_rule,
            fetch=lambda store, tenant, **paging: store.get_rules(tenant, AGENT, **paging),
            other=lambda store, tenant, **paging: store.get_rules(tenant, AGENT, Scope.GLOBAL, **paging),
            remove=lambda store, tenant, row: store.delete_rule(tenant, row.id),
            optional_limit=True,
        ),
        Listing(
            "get_scenarios",
            add=_add_scenario,
            fetch=lambda store, tenant, **paging: store.get_scenarios(tenant, AGENT, **paging),
            other=lambda store, tenant, **paging: store.get_scenarios(tenant, AGENT, False, **paging),
            remove=lambda store, tenant, row: store.delete_scenario(tenant, row.id),
            optional_limit=True,
        ),
        Listing(
            "get_templates",
            add=_add_template,
            fetch=lambda store, tenant, **paging: store.get_templates(tenant, AGENT, **paging),
            other=lambda store, tenant, **paging: store.get_templates(tenant, AGENT, Scope.GLOBAL, **paging),
            remove=lambda store, tenant, row: store.delete_template(tenant, row.id),
            optional_limit=True,
        ),
        Listing(
            "get_variables",
            add=_add_variable,
            fetch=lambda store, tenant, **paging: store.get_variables(tenant, AGENT, **paging),
            other=lambda store, tenant, **paging: store.get_templates(tenant, AGENT, **paging),
            remove=lambda store, tenant, row: store.delete_variable(tenant, row.id),
            optional_limit=True,
        ),
        Listing(
            "list_agents",
            add=_add_agent,
            fetch=lambda store, tenant, **paging: store.list_agents(tenant, **paging),
            other=lambda store, tenant, **paging: store.list_agents(tenant, enabled_only=True, **paging),
            remove=lambda store, tenant, row: store.delete_agent(tenant, row.id),
        ),
        Listing(
            "list_tool_activations",
            add=_add_activation,
            fetch=lambda store, tenant, **paging: store.list_tool_activations(tenant, AGENT, **paging),
            other=lambda store, tenant, **paging: store.list_tool_activations(
                tenant, AGENT, enabled_only=True, **paging
            ),
            remove=lambda store, tenant, row: store.delete_tool_activation(tenant, AGENT, row.tool_id),
            optional_limit=True,
        ),
        Listing(
            "list_migration_plans",
            add=_add_plan,
            fetch=lambda store, tenant, **paging: store.list_migration_plans(tenant, **paging),
            other=lambda store, tenant, **paging: store.list_migration_plans(tenant, scenario_id=SCENARIO, **paging),
            remove=lambda store, tenant, row: store.delete_migration_plan(tenant, row.id),
            reverse=True,
        ),
    )

    async def seed(self, store: ConfigStore, tenant_id: UUID) -> None:
        """Store the world; what differs between tenants is a text in every row."""
        own = {"description": f"of {tenant_id}"}
        await store.save_agent(agent(0, tenant_id, id=AGENT, **own))
        for n in range(3):
            await store.save_rule(near(n, 0.8, tenant_id, **own))
        await store.save_scenario(scenario(0, tenant_id, embedding_of=None, **own) if False else _seeded(tenant_id))
        await store.archive_scenario(_seeded(tenant_id))
        await store.save_template(template(0, tenant_id, content=f"of {tenant_id}"))
        await store.save_variable(variable(0, tenant_id, **own))
        await store.save_tool_activation(activation(0, tenant_id, policy_overrides=own))
        await store.save_migration_plan(plan(0, tenant_id, created_by=f"of {tenant_id}"))

    async def snapshot(self, store: ConfigStore, tenant_id: UUID) -> Any:
        """Return everything of the tenant."""
        agents = await store.list_agents(tenant_id, limit=1000)
        rows: list[Any] = [*agents, *await store.list_migration_plans(tenant_id, limit=1000)]
        rows += await store.get_rules(tenant_id, AGENT, enabled_only=False)
        rows += await store.get_scenarios(tenant_id, AGENT, enabled_only=False)
        rows += await store.get_templates(tenant_id, AGENT)
        rows += await store.get_variables(tenant_id, AGENT)
        rows += await store.list_tool_activations(tenant_id, AGENT)
        for one in (_seeded(tenant_id), scenario(7, tenant_id)):
            for version in await store.list_archived_versions(tenant_id, one.id):
                rows.append(await store.get_archived_scenario(tenant_id, one.id, version))
        return [row.model_dump(mode="json", exclude={"row_version"}) for row in rows]
