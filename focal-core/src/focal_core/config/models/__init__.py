"""What an agent is configured by: the models of the config port."""

from focal_core.config.models.agents import Agent, AgentSettings
from focal_core.config.models.migration_plans import (
    LEGAL_TRANSITIONS,
    AnchorMigrationPolicy,
    AnchorTransformation,
    ChangeType,
    DeletedNode,
    FieldCollectionInfo,
    ForkBranch,
    InsertedNode,
    MigrationPlan,
    MigrationPlanStatus,
    MigrationScenario,
    MigrationSummary,
    MigrationWarning,
    NewFork,
    NodeChanges,
    ScopeFilter,
    Severity,
    TransformationMap,
    TransitionChange,
)
from focal_core.config.models.rules import Rule, ToolBinding, ToolWhen
from focal_core.config.models.scenarios import Scenario, ScenarioArchive, ScenarioStep, StepTransition, step_hashes
from focal_core.config.models.scope import Scope, Scoped
from focal_core.config.models.templates import Template, TemplateMode
from focal_core.config.models.tools import ToolActivation
from focal_core.config.models.variables import Variable, VariableMergePolicy, VariableUpdatePolicy

__all__ = [
    "LEGAL_TRANSITIONS",
    "Agent",
    "AgentSettings",
    "AnchorMigrationPolicy",
    "AnchorTransformation",
    "ChangeType",
    "DeletedNode",
    "FieldCollectionInfo",
    "ForkBranch",
    "InsertedNode",
    "MigrationPlan",
    "MigrationPlanStatus",
    "MigrationScenario",
    "MigrationSummary",
    "MigrationWarning",
    "NewFork",
    "NodeChanges",
    "Rule",
    "Scenario",
    "ScenarioArchive",
    "ScenarioStep",
    "Scope",
    "ScopeFilter",
    "Scoped",
    "Severity",
    "StepTransition",
    "Template",
    "TemplateMode",
    "ToolActivation",
    "ToolBinding",
    "ToolWhen",
    "TransformationMap",
    "TransitionChange",
    "Variable",
    "VariableMergePolicy",
    "VariableUpdatePolicy",
    "step_hashes",
]
