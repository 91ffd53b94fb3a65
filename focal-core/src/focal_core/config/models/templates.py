"""Templates: texts the agent may or must answer with."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from focal_core.base import AgentScoped, Alias, TolerantEnum, Versioned
from focal_core.config.models.scope import Scoped
from focal_core.ids import uuid7
from focal_core.values import Identifier, RequiredText, Text


class TemplateMode(TolerantEnum):
    """How binding a template is."""

    SUGGEST = "suggest"
    """The agent may use it."""
    EXCLUSIVE = "exclusive"
    """The agent answers with it and nothing else."""
    FALLBACK = "fallback"
    """The agent uses it when it has no answer of its own."""


class Template(AgentScoped, Versioned, Scoped):
    """A text to answer with.

    Attributes:
        id: id of the template.
        name: what it is called; need not be unique.
        content: the text.
        mode: how binding it is.
        conditions: when it applies, in words.
    """

    id: UUID = Field(default_factory=uuid7)
    name: Identifier
    content: RequiredText
    mode: TemplateMode = TemplateMode.SUGGEST
    conditions: Text | None = None

    text = Alias[str]("content")
