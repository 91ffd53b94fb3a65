"""The agent: what all other configuration belongs to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel, TenantScoped, Versioned
from focal_core.ids import uuid7
from focal_core.values import Identifier, Identifier100, Text


class AgentSettings(FocalModel):
    """How an agent uses models.

    Attributes:
        model: model of the answers; None = the configured one.
        temperature: 0.0 to 2.0; None = the model's own.
        max_tokens: tokens of one answer at most.
        embedding_model: model of the agent's vectors; None = the configured one.
    """

    model: Identifier100 | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    max_tokens: int = Field(default=1024, ge=1)
    embedding_model: Identifier100 | None = None


class Agent(TenantScoped, Versioned):
    """A conversational agent.

    ``default_model`` is a second name of ``settings.model``: accepted on construction, readable afterwards.

    Attributes:
        id: id of the agent.
        name: what it is called; unique among the live agents of the tenant.
        description: what it is for.
        system_prompt: what the model is told first.
        settings: how it uses models.
        current_version: generation of its configuration.
        enabled: whether it is in use.
    """

    id: UUID = Field(default_factory=uuid7)
    name: Identifier
    description: Text | None = None
    system_prompt: Text | None = None
    settings: AgentSettings = Field(default_factory=AgentSettings)
    current_version: int = Field(default=1, ge=1)
    enabled: bool = True

    @property
    def default_model(self) -> str | None:
        """``settings.model``."""
        return self.settings.model

    @model_validator(mode="before")
    @classmethod
    def _fold_default_model(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "default_model" not in data:
            return data
        folded = dict(data)
        model, settings = folded.pop("default_model"), folded.get("settings", {})
        if isinstance(settings, AgentSettings):
            settings = settings.model_dump(exclude_unset=True)
        if not isinstance(settings, dict):
            return folded
        if settings.get("model", model) != model:
            raise PydanticCustomError(
                "focal.alias_conflict", "'default_model' and 'settings.model' are one field, given twice"
            )
        return {**folded, "settings": {**settings, "model": model}}
