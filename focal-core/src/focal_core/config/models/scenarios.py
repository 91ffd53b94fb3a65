"""Scenarios: conversations in steps, with transitions between them; their archived versions; content hashes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import AgentScoped, Alias, Embedded, FocalModel, Versioned
from focal_core.clock import utc_now
from focal_core.config.models.rules import ToolBinding
from focal_core.ids import uuid7
from focal_core.values import (
    Identifier,
    Identifier100,
    JSONObject,
    RequiredText,
    Text,
    UTCDateTime,
    Vector,
    canonical_json,
)


class StepTransition(Embedded):
    """A way from one step to another.

    Attributes:
        to_step_id: where it leads; a step of the same scenario.
        condition_text: when it is taken, in words.
        condition_embedding: (dim,) vector of the condition.
        condition_embedding_model: the model that made it.
        priority: higher first.
        condition_fields: profile fields the condition speaks of.
    """

    embedding_prefix: ClassVar[str] = "condition_"

    to_step_id: UUID
    condition_text: RequiredText
    condition_embedding: Vector | None = None
    condition_embedding_model: Identifier100 | None = None
    priority: int = 0
    condition_fields: list[Identifier] = Field(default_factory=list)


class ScenarioStep(FocalModel):
    """One step of a scenario.

    Attributes:
        id: id of the step, unique within the scenario.
        scenario_id: the scenario; filled from it.
        name: what it is called.
        description: what happens in it.
        transitions: ways out of it; none from a terminal step.
        template_ids: templates it offers.
        rule_ids: rules it brings.
        tool_ids: tools it offers.
        tool_bindings: tools it runs, and when.
        is_entry: whether the scenario starts here; filled from the scenario's ``entry_step_id``.
        is_terminal: whether the scenario ends here.
        can_skip: whether it may be left out.
        reachable_from_anywhere: whether it may be entered from any step.
        collects_profile_fields: profile fields it asks for.
        performs_action: whether it does something outside the conversation.
        is_required_action: whether that must not be left out.
        is_checkpoint: whether there is no way back behind it.
        checkpoint_description: what can no longer be undone; required for a checkpoint.
        metadata: whatever else the application wants kept.
    """

    id: UUID = Field(default_factory=uuid7)
    scenario_id: UUID | None = None
    name: Identifier
    description: Text | None = None
    transitions: list[StepTransition] = Field(default_factory=list)
    template_ids: list[UUID] = Field(default_factory=list)
    rule_ids: list[UUID] = Field(default_factory=list)
    tool_ids: list[Identifier] = Field(default_factory=list)
    tool_bindings: list[ToolBinding] = Field(default_factory=list)
    is_entry: bool = False
    is_terminal: bool = False
    can_skip: bool = False
    reachable_from_anywhere: bool = False
    collects_profile_fields: list[Identifier] = Field(default_factory=list)
    performs_action: bool = False
    is_required_action: bool = False
    is_checkpoint: bool = False
    checkpoint_description: Text | None = None
    metadata: JSONObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.is_checkpoint and not self.checkpoint_description:
            raise PydanticCustomError("focal.checkpoint_invalid", "a checkpoint needs checkpoint_description")
        if self.is_terminal and self.transitions:
            raise PydanticCustomError("focal.terminal_invalid", "a terminal step has no transitions")
        return self


def step_hashes(steps: Iterable[ScenarioStep]) -> dict[UUID, str]:
    """Return step id -> content hash, 16 hex digits, in step order; no two steps of a scenario share one.

    The hash covers what makes a step the same step in another version of its scenario: name, description, rules,
    collected fields, checkpoint and action; no ids of its own. The n-th step of equal content, n >= 2, mixes n in.
    """
    seen = Counter[bytes]()
    hashes = {}
    for step in steps:
        content: dict[str, Any] = {
            "name": step.name,
            "description": step.description,
            "rule_ids": sorted(str(rule_id) for rule_id in step.rule_ids),
            "collects_profile_fields": sorted(step.collects_profile_fields),
            "is_checkpoint": step.is_checkpoint,
            "checkpoint_description": step.checkpoint_description,
            "performs_action": step.performs_action,
        }
        text = canonical_json(content)
        seen[text] += 1
        if seen[text] > 1:
            text = canonical_json({**content, "occurrence": seen[text]})
        hashes[step.id] = _digest(text)
    return hashes


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


class Scenario(AgentScoped, Versioned, Embedded):
    """A conversation the agent can lead, as a graph of steps.

    ``entry_step_id`` and ``content_hash`` follow the content unless they are given and differ from it.

    Attributes:
        id: id of the scenario.
        name: what it is called; need not be unique.
        description: what it is for.
        version: counted by the application.
        entry_condition: when it starts, in words.
        entry_embedding: (dim,) vector of the entry condition.
        entry_embedding_model: the model that made it.
        entry_step_id: where it starts: the step marked ``is_entry`` by default, else the first.
        steps: its steps, in the order they are told.
        content_hash: 16 hex digits over name, description, entry condition and the graph of step contents, by default.
        tags: labels.
        enabled: whether it is in use.
    """

    embedding_prefix: ClassVar[str] = "entry_"

    id: UUID = Field(default_factory=uuid7)
    name: Identifier
    description: Text | None = None
    version: int = Field(default=1, ge=1)
    entry_condition: Text | None = None
    entry_embedding: Vector | None = None
    entry_embedding_model: Identifier100 | None = None
    entry_step_id: UUID | None = None
    steps: list[ScenarioStep] = Field(default_factory=list)
    content_hash: Identifier | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    tags: list[Identifier] = Field(default_factory=list)
    enabled: bool = True

    entry_condition_text = Alias[str | None]("entry_condition")
    entry_condition_embedding = Alias[tuple[float, ...] | None]("entry_embedding")

    @model_validator(mode="after")
    def _check_graph(self) -> Self:
        ids = [step.id for step in self.steps]
        known = set(ids)
        if len(known) != len(ids):
            raise PydanticCustomError("focal.step_duplicate", "step ids must be unique within a scenario")
        for step in self.steps:
            if step.scenario_id not in (None, self.id):
                raise _graph_error(f"step {step.name!r} belongs to another scenario")
            step.__dict__["scenario_id"] = self.id
            if any(transition.to_step_id not in known for transition in step.transitions):
                raise _graph_error(f"step {step.name!r} has a transition to a step that is not in the scenario")
        if self.steps:
            self._settle_entry(known)
        self._derive("content_hash", self._hash_content())
        return self

    def _derive(self, name: str, derived: object) -> None:
        """Fill in a field that was not given, or was given as it would be derived: it follows later changes."""
        if name not in self.model_fields_set or self.__dict__[name] in (None, derived):
            self.__dict__[name] = derived
            self.model_fields_set.discard(name)

    def _settle_entry(self, known: set[UUID]) -> None:
        marked = [step.id for step in self.steps if step.is_entry]
        self._derive("entry_step_id", (marked or [self.steps[0].id])[0])
        if self.entry_step_id not in known:
            raise _graph_error("entry_step_id is not a step of the scenario")
        if marked not in ([], [self.entry_step_id]):
            raise _graph_error("exactly the step named by entry_step_id may have is_entry")
        for step in self.steps:
            step.__dict__["is_entry"] = step.id == self.entry_step_id

    def step_hashes(self) -> dict[UUID, str]:
        """Return step id -> content hash, in step order; see ``step_hashes``."""
        return step_hashes(self.steps)

    def _hash_content(self) -> str:
        hashes = self.step_hashes()
        graph = [
            [
                hashes[step.id],
                [[hashes[way.to_step_id], way.condition_text, way.priority] for way in step.transitions],
            ]
            for step in self.steps
        ]
        return _digest(canonical_json([self.name, self.description, self.entry_condition, graph]))


def _graph_error(message: str) -> PydanticCustomError:
    return PydanticCustomError("focal.scenario_graph_invalid", message.replace("{", "(").replace("}", ")"))


class ScenarioArchive(FocalModel):
    """A version of a scenario as it once was; never changes.

    Attributes:
        tenant_id: the owner.
        scenario_id: the scenario.
        version: which version of it.
        scenario_data: the scenario as it was.
        archived_at: when it was archived; always the store's clock.
    """

    model_config = ConfigDict(frozen=True)

    tenant_id: UUID
    scenario_id: UUID
    version: int = Field(ge=1)
    scenario_data: Scenario
    archived_at: UTCDateTime = Field(default_factory=utc_now)
