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


def _seeded(tenant: UUID) -> Scenario:
    return scenario(0, tenant, description=f"of {tenant}", entry_embedding=at(0.8), entry_embedding_model="m")


class ConfigScenarios(Scenarios):
    """One agent with three rules, a scenario and its archived version, a template, a variable, a tool and a plan."""

    store_class = ConfigStore
    creates = frozenset(
        {"save_agent", "save_rule", "save_scenario", "save_template", "save_variable", "save_tool_activation"}
        | {"save_migration_plan", "archive_scenario", "save_rules"}
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
        _Archived(Scenario, save=lambda store, one: store.archive_scenario(one), get=_archived, unset=_MANAGED),
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

    @classmethod
    def methods(cls) -> list[str]:
        """Return the abstract methods and the one with a default."""
        return sorted([*super().methods(), "save_rules"])

    async def seed(self, store: ConfigStore, tenant_id: UUID) -> None:
        """Store the world; what differs between tenants is a text in every row."""
        own = {"description": f"of {tenant_id}"}
        await store.save_agent(agent(0, tenant_id, id=AGENT, **own))
        for n in range(3):
            await store.save_rule(near(n, 0.8, tenant_id, **own))
        await store.save_scenario(_seeded(tenant_id))
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

    async def save_agent(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further agent."""
        return await store.save_agent(agent(7, tenant))

    async def get_agent(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the agent."""
        return await store.get_agent(tenant, AGENT)

    async def list_agents(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the agent."""
        return await store.list_agents(tenant)

    async def delete_agent(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete the agent."""
        return await store.delete_agent(tenant, AGENT)

    async def save_rule(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further rule."""
        return await store.save_rule(rule(7, tenant))

    async def save_rules(self, store: ConfigStore, tenant: UUID, world: None) -> list[UUID]:
        """Save two further rules."""
        return await store.save_rules([rule(7, tenant), near(8, 1.0, tenant=tenant)])

    async def get_rule(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read a rule."""
        return await store.get_rule(tenant, rule(1).id)

    async def get_rules(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the rules."""
        return await store.get_rules(tenant, AGENT)

    async def delete_rule(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete a rule."""
        return await store.delete_rule(tenant, rule(1).id)

    async def vector_search_rules(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Search the rules."""
        return await store.vector_search_rules(QUERY, tenant, AGENT)

    async def save_scenario(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further scenario."""
        return await store.save_scenario(scenario(7, tenant))

    async def get_scenario(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the scenario."""
        return await store.get_scenario(tenant, scenario(0).id)

    async def get_scenarios(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the scenario."""
        return await store.get_scenarios(tenant, AGENT)

    async def delete_scenario(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete the scenario."""
        return await store.delete_scenario(tenant, scenario(0).id)

    async def vector_search_scenarios(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Search the scenarios."""
        return await store.vector_search_scenarios(QUERY, tenant, AGENT)

    async def archive_scenario(self, store: ConfigStore, tenant: UUID, world: None) -> int:
        """Archive a further scenario."""
        return await store.archive_scenario(scenario(7, tenant))

    async def get_archived_scenario(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the archived version."""
        return await store.get_archived_scenario(tenant, scenario(0).id, 1)

    async def list_archived_versions(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the archived version."""
        return await store.list_archived_versions(tenant, scenario(0).id)

    async def purge_archives(self, store: ConfigStore, tenant: UUID, world: None) -> int:
        """Remove the archived version, which no plan names."""
        return await store.purge_archives(tenant, NEVER)

    async def save_template(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further template."""
        return await store.save_template(template(7, tenant))

    async def get_template(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the template."""
        return await store.get_template(tenant, template(0).id)

    async def get_templates(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the template."""
        return await store.get_templates(tenant, AGENT)

    async def delete_template(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete the template."""
        return await store.delete_template(tenant, template(0).id)

    async def save_variable(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further variable."""
        return await store.save_variable(variable(7, tenant))

    async def get_variable(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the variable."""
        return await store.get_variable(tenant, variable(0).id)

    async def get_variable_by_name(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the variable by its name."""
        return await store.get_variable_by_name(tenant, AGENT, variable(0).name)

    async def get_variables(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the variable."""
        return await store.get_variables(tenant, AGENT)

    async def delete_variable(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete the variable."""
        return await store.delete_variable(tenant, variable(0).id)

    async def save_tool_activation(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Activate a further tool."""
        return await store.save_tool_activation(activation(7, tenant))

    async def get_tool_activation(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the activation."""
        return await store.get_tool_activation(tenant, AGENT, activation(0).tool_id)

    async def list_tool_activations(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the activation."""
        return await store.list_tool_activations(tenant, AGENT)

    async def delete_tool_activation(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Remove the activation."""
        return await store.delete_tool_activation(tenant, AGENT, activation(0).tool_id)

    async def save_migration_plan(self, store: ConfigStore, tenant: UUID, world: None) -> UUID:
        """Save a further plan."""
        return await store.save_migration_plan(plan(7, tenant))

    async def get_migration_plan(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the plan."""
        return await store.get_migration_plan(tenant, plan(0).id)

    async def get_migration_plan_for_versions(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """Read the plan by what it connects."""
        return await store.get_migration_plan_for_versions(tenant, SCENARIO, 1, 2)

    async def list_migration_plans(self, store: ConfigStore, tenant: UUID, world: None) -> Any:
        """List the plan."""
        return await store.list_migration_plans(tenant)

    async def delete_migration_plan(self, store: ConfigStore, tenant: UUID, world: None) -> bool:
        """Delete the plan."""
        return await store.delete_migration_plan(tenant, plan(0).id)
