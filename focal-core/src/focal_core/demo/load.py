"""Loading an agent: everything an agent file describes goes into the stores, and only what differs is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from focal_core.base import FocalModel
from focal_core.config.models import Rule, Scenario
from focal_core.demo.agent_file import AgentDefinition
from focal_core.profile.models import ScenarioFieldRequirement
from focal_core.providers.embedding import EmbeddingProvider

if TYPE_CHECKING:
    from focal_core.config.bound import BoundConfigStore
    from focal_core.profile.bound import BoundProfileStore

M = TypeVar("M", bound=FocalModel)

_STORE_FIELDS = {"created_at", "updated_at", "deleted_at", "row_version"}


class AgentStores(Protocol):
    """Where an agent is kept: the view of a tenant, or its two stores alone."""

    @property
    def config(self) -> BoundConfigStore:
        """The agent itself."""

    @property
    def profiles(self) -> BoundProfileStore:
        """Field definitions and requirements."""


@dataclass(frozen=True)
class LoadSummary:
    """What loading an agent did.

    Attributes:
        saved: items written, by kind.
        unchanged: items that were stored as they are, by kind.
        embedded: texts that were embedded.
    """

    saved: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    embedded: int = 0


async def load_agent(definition: AgentDefinition, stores: AgentStores, embedding: EmbeddingProvider) -> LoadSummary:
    """Save an agent with all its parts; loading it again writes nothing.

    Rule conditions and scenario entry conditions are embedded, unless the same text is stored with a vector of the
    same embedding space. Items of the agent that are in the stores but not in the file stay as they are.

    Args:
        definition: from ``read_agent_file``.
        stores: the view bound to the definition's tenant, ``focal.tenant(id)``.
        embedding: what embeds the conditions.

    Raises:
        ConflictError: an item was deleted from the stores, or its name belongs to another one.
    """
    config, profiles = stores.config, stores.profiles
    agent_id = definition.agent.id
    rules = {rule.id: await config.get_rule(rule.id) for rule in definition.rules}
    scenarios = {scenario.id: await config.get_scenario(scenario.id) for scenario in definition.scenarios}
    new_rules, new_scenarios, embedded = await _embed(definition, rules, scenarios, embedding)
    summary = LoadSummary(embedded=embedded)

    async def save(kind: str, new: M, stored: M | None, write: Callable[[M], Awaitable[UUID]]) -> None:
        if stored is not None and _content(stored) == _content(new):
            summary.unchanged[kind] += 1
        else:
            # A copy: stores advance the version of what they save, and the definition may be loaded elsewhere too.
            await write(new.model_copy())
            summary.saved[kind] += 1

    await save("agents", definition.agent, await config.get_agent(agent_id), config.save_agent)
    for definition_of_field in definition.fields:
        stored_field = await profiles.get_field_definition(agent_id, definition_of_field.name)
        await save("fields", definition_of_field, stored_field, profiles.save_field_definition)
    for variable in definition.variables:
        await save("variables", variable, await config.get_variable(variable.id), config.save_variable)
    for template in definition.templates:
        await save("templates", template, await config.get_template(template.id), config.save_template)
    for scenario in new_scenarios:
        await save("scenarios", scenario, scenarios[scenario.id], config.save_scenario)
    for rule in new_rules:
        await save("rules", rule, rules[rule.id], config.save_rule)
    stored_requirements: dict[UUID, ScenarioFieldRequirement] = {}
    for scenario_id, step_id in {(one.scenario_id, one.step_id) for one in definition.requirements}:
        for one in await profiles.get_scenario_requirements(scenario_id, step_id=step_id):
            stored_requirements[one.id] = one
    for requirement in definition.requirements:
        stored = stored_requirements.get(requirement.id)
        await save("requirements", requirement, stored, profiles.save_scenario_requirement)
    return summary


async def _embed(
    definition: AgentDefinition,
    rules: dict[UUID, Rule | None],
    scenarios: dict[UUID, Scenario | None],
    embedding: EmbeddingProvider,
) -> tuple[list[Rule], list[Scenario], int]:
    space = embedding.spec.model, embedding.spec.dimensions
    known: dict[str, Any] = {}
    for rule in filter(None, rules.values()):
        if rule.condition_embedding and (rule.condition_embedding_model, len(rule.condition_embedding)) == space:
            known[rule.condition_text] = rule.condition_embedding
    for scenario in filter(None, scenarios.values()):
        if scenario.entry_embedding and (scenario.entry_embedding_model, len(scenario.entry_embedding)) == space:
            known[scenario.entry_condition or ""] = scenario.entry_embedding
    texts = [rule.condition_text for rule in definition.rules]
    texts += [scenario.entry_condition for scenario in definition.scenarios if scenario.entry_condition]
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        known.update(zip(missing, await embedding.embed_batch(missing), strict=True))
    # The stores validate what they are given; a copy spares a vector from being checked twice.
    new_rules = [
        rule.model_copy(
            update={"condition_embedding": known[rule.condition_text], "condition_embedding_model": space[0]}
        )
        for rule in definition.rules
    ]
    new_scenarios = [
        scenario.model_copy(
            update={"entry_embedding": known[scenario.entry_condition], "entry_embedding_model": space[0]}
        )
        if scenario.entry_condition
        else scenario
        for scenario in definition.scenarios
    ]
    return new_rules, new_scenarios, len(missing)


def _content(model: FocalModel) -> dict[str, Any]:
    return model.model_dump(exclude=_STORE_FIELDS)
