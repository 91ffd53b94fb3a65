"""Rules: when a condition is met, the agent does something."""

from __future__ import annotations

from typing import ClassVar, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import AgentScoped, Alias, Embedded, FocalModel, TolerantEnum, Versioned
from focal_core.config.models.scope import Scoped
from focal_core.ids import uuid7
from focal_core.values import Identifier, Identifier50, Identifier100, JSONObject, RequiredText, Text, Vector


class ToolWhen(TolerantEnum):
    """When a bound tool is run."""

    BEFORE_STEP = "before_step"
    DURING_STEP = "during_step"
    AFTER_STEP = "after_step"


class ToolBinding(FocalModel):
    """A tool tied to a rule or step.

    Attributes:
        tool_id: the tool.
        when: when it is run.
        required_variables: variables that must have a value first.
        depends_on: tools that must have run first.
    """

    tool_id: Identifier
    when: ToolWhen = ToolWhen.DURING_STEP
    required_variables: list[Identifier] = Field(default_factory=list)
    depends_on: list[Identifier] = Field(default_factory=list)


class Rule(AgentScoped, Versioned, Embedded, Scoped):
    """A condition on the conversation and what follows from it.

    Attributes:
        id: id of the rule.
        name: what it is called; need not be unique.
        description: what it is for.
        condition_text: the condition, in words.
        condition_embedding: (dim,) vector of the condition.
        condition_embedding_model: the model that made it.
        action_type: kind of action; ``"text"`` is an instruction to the agent.
        action_text: the instruction; required for ``"text"``.
        action_config: what other kinds of action need.
        priority: -100 to 100, higher first.
        enabled: whether it is in use.
        max_fires_per_session: 0 = unlimited.
        cooldown_turns: turns between two firings.
        is_hard_constraint: whether an answer that breaks it must not go out.
        enforcement_expression: how that is checked; only with ``is_hard_constraint``.
        tool_bindings: tools it runs, and when.
        attached_tool_ids: tools it offers.
        attached_template_ids: templates it offers.
    """

    embedding_prefix: ClassVar[str] = "condition_"

    id: UUID = Field(default_factory=uuid7)
    name: Identifier
    description: Text | None = None
    condition_text: RequiredText
    condition_embedding: Vector | None = None
    condition_embedding_model: Identifier100 | None = None
    action_type: Identifier50 = "text"
    action_text: Text | None = None
    action_config: JSONObject = Field(default_factory=dict)
    priority: int = Field(default=0, ge=-100, le=100)
    enabled: bool = True
    max_fires_per_session: int = Field(default=0, ge=0)
    cooldown_turns: int = Field(default=0, ge=0)
    is_hard_constraint: bool = False
    enforcement_expression: Text | None = None
    tool_bindings: list[ToolBinding] = Field(default_factory=list)
    attached_tool_ids: list[Identifier] = Field(default_factory=list)
    attached_template_ids: list[UUID] = Field(default_factory=list)

    embedding = Alias[tuple[float, ...] | None]("condition_embedding")
    embedding_model = Alias[str | None]("condition_embedding_model")

    @model_validator(mode="after")
    def _check_action(self) -> Self:
        if self.action_type == "text" and not self.action_text:
            raise PydanticCustomError("focal.action_text_missing", "action_type 'text' needs action_text")
        if self.enforcement_expression is not None and not self.is_hard_constraint:
            raise PydanticCustomError(
                "focal.enforcement_invalid", "enforcement_expression is only for rules with is_hard_constraint"
            )
        return self
