"""The contract of the config port."""

from __future__ import annotations

from focal_testkit.contracts.config.agents import AgentContract
from focal_testkit.contracts.config.kit_scenarios import ConfigScenarios
from focal_testkit.contracts.config.migration_plans import MigrationPlanContract
from focal_testkit.contracts.config.rules import RuleContract
from focal_testkit.contracts.config.scenarios import ScenarioContract
from focal_testkit.contracts.config.templates import TemplateContract
from focal_testkit.contracts.config.tools import ToolContract
from focal_testkit.contracts.config.variables import VariableContract
from focal_testkit.contracts.config.vector_search import VectorSearchContract
from focal_testkit.contracts.config.versions import VersionContract
from focal_testkit.contracts.generated import StoreContract


class ConfigStoreContract(
    AgentContract,
    RuleContract,
    VectorSearchContract,
    ScenarioContract,
    TemplateContract,
    VariableContract,
    ToolContract,
    MigrationPlanContract,
    VersionContract,
    StoreContract,
):
    """Everything a ConfigStore must do; a subclass gives ``open_store``."""

    scenarios = ConfigScenarios()


__all__ = ["ConfigStoreContract"]
