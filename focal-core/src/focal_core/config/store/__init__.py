"""The config port: the sum of its parts, one file each."""

from __future__ import annotations

from typing import ClassVar

from focal_core.config.store.agents import AgentStore
from focal_core.config.store.migration_plans import MigrationPlanStore
from focal_core.config.store.rules import RuleStore
from focal_core.config.store.scenarios import ScenarioStore
from focal_core.config.store.templates import TemplateStore
from focal_core.config.store.tools import ToolStore
from focal_core.config.store.variables import VariableStore

__all__ = [
    "AgentStore",
    "ConfigStore",
    "MigrationPlanStore",
    "RuleStore",
    "ScenarioStore",
    "TemplateStore",
    "ToolStore",
    "VariableStore",
]


class ConfigStore(AgentStore, MigrationPlanStore, RuleStore, ScenarioStore, TemplateStore, VariableStore, ToolStore):
    """Source of truth for how agents behave: rules, scenarios, templates, variables, tools, migration plans."""

    port: ClassVar[str] = "config"
