"""The in-memory reference of the config port: the sum of its parts, one file each."""

from __future__ import annotations

from focal_core.config.inmemory.agents import InMemoryAgentStore
from focal_core.config.inmemory.migration_plans import InMemoryMigrationPlanStore
from focal_core.config.inmemory.rules import InMemoryRuleStore
from focal_core.config.inmemory.scenarios import InMemoryScenarioStore
from focal_core.config.inmemory.templates import InMemoryTemplateStore
from focal_core.config.inmemory.tools import InMemoryToolStore
from focal_core.config.inmemory.variables import InMemoryVariableStore
from focal_core.config.store import ConfigStore

__all__ = [
    "InMemoryAgentStore",
    "InMemoryConfigStore",
    "InMemoryMigrationPlanStore",
    "InMemoryRuleStore",
    "InMemoryScenarioStore",
    "InMemoryTemplateStore",
    "InMemoryToolStore",
    "InMemoryVariableStore",
]


class InMemoryConfigStore(
    InMemoryRuleStore,
    InMemoryScenarioStore,
    InMemoryTemplateStore,
    InMemoryVariableStore,
    InMemoryToolStore,
    ConfigStore,
):
    """Configuration in memory, with exact vector search."""
