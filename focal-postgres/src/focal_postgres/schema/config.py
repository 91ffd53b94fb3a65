"""Tables of the port ``config``."""

from __future__ import annotations

from sqlalchemy import Column, Computed, Table, text
from sqlalchemy.dialects.postgresql import BYTEA

from focal_core.config.models import (
    Agent,
    MigrationPlan,
    Rule,
    Scenario,
    ScenarioArchive,
    Template,
    ToolActivation,
    Variable,
)
from focal_postgres.schema.columns import (
    check,
    columns_of,
    enum_checks,
    index,
    metadata,
    primary_key,
    text_type,
    unique,
)
from focal_postgres.schema.spaces import space_column, space_constraints, vector_table

LIVE = "deleted_at IS NULL"
_SCOPE = "(scope = 'global') = (scope_id IS NULL)"

agents = Table(
    "agents",
    metadata,
    *columns_of(Agent),
    Column("default_model", text_type(), Computed("settings ->> 'model'", persisted=True)),
    primary_key("agents"),
    unique("agents", "name", "name", where=LIVE),
    index("agents", "name_id", "name", "id", where=LIVE),
)

rules = Table(
    "rules",
    metadata,
    *columns_of(Rule, without=("condition_embedding",)),
    space_column("condition_"),
    primary_key("rules"),
    *enum_checks("rules", Rule),
    *space_constraints("rules", "condition_"),
    check("rules", "scope_id", _SCOPE),
    index("rules", "priority", "agent_id", text("priority DESC"), "created_at", "id", where=LIVE),
    index("rules", "scope", "agent_id", "scope", "scope_id", where=LIVE),
)
rule_vectors = vector_table("rule_vectors", "rules", "agent_id")

scenarios = Table(
    "scenarios",
    metadata,
    *columns_of(Scenario, without=("entry_embedding",)),
    space_column("entry_"),
    primary_key("scenarios"),
    *space_constraints("scenarios", "entry_"),
    index("scenarios", "created_at", "agent_id", "created_at", "id", where=LIVE),
)
scenario_vectors = vector_table("scenario_vectors", "scenarios", "agent_id")

templates = Table(
    "templates",
    metadata,
    *columns_of(Template),
    primary_key("templates"),
    *enum_checks("templates", Template),
    check("templates", "scope_id", _SCOPE),
    index("templates", "created_at", "agent_id", "created_at", "id", where=LIVE),
)

variables = Table(
    "variables",
    metadata,
    *columns_of(Variable),
    primary_key("variables"),
    *enum_checks("variables", Variable),
    unique("variables", "name", "agent_id", "name", where=LIVE),
)

tool_activations = Table(
    "tool_activations",
    metadata,
    *columns_of(ToolActivation),
    primary_key("tool_activations"),
    unique("tool_activations", "tool_id", "agent_id", "tool_id"),
)

migration_plans = Table(
    "migration_plans",
    metadata,
    *columns_of(MigrationPlan),
    primary_key("migration_plans"),
    *enum_checks("migration_plans", MigrationPlan),
    check("migration_plans", "versions", "from_version < to_version"),
    index("migration_plans", "versions", "scenario_id", "from_version", "to_version"),
    index("migration_plans", "status", "status", "created_at"),
)

scenario_archives = Table(
    "scenario_archives",
    metadata,
    *columns_of(ScenarioArchive),
    Column("digest", BYTEA, nullable=False),
    primary_key("scenario_archives", "tenant_id", "scenario_id", "version"),
    index("scenario_archives", "archived_at", "archived_at"),
)
