"""The config port on PostgreSQL: the sum of its parts, one file each."""

from __future__ import annotations

from typing import ClassVar

from focal_core.config.store import ConfigStore
from focal_postgres.config.agents import PostgresAgentStore
from focal_postgres.config.migration_plans import PostgresMigrationPlanStore
from focal_postgres.config.rules import PostgresRuleStore
from focal_postgres.config.scenarios import PostgresScenarioStore
from focal_postgres.config.templates import PostgresTemplateStore
from focal_postgres.config.tools import PostgresToolStore
from focal_postgres.config.variables import PostgresVariableStore
from focal_postgres.store import PostgresStore

__all__ = [
    "PostgresAgentStore",
    "PostgresConfigStore",
    "PostgresMigrationPlanStore",
    "PostgresRuleStore",
    "PostgresScenarioStore",
    "PostgresTemplateStore",
    "PostgresToolStore",
    "PostgresVariableStore",
]


class PostgresConfigStore(
    PostgresRuleStore,
    PostgresScenarioStore,
    PostgresTemplateStore,
    PostgresVariableStore,
    PostgresToolStore,
    ConfigStore,
):
    """Configuration in PostgreSQL."""

    capabilities: ClassVar[frozenset[str]] = PostgresStore.capabilities | {"vector_index"}
