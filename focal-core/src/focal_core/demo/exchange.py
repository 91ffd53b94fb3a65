"""What the parts of a replayed turn share: the stores, where the turn stands, what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from focal_core.audit.models import TurnRecord
from focal_core.config.models import Scenario, ScenarioStep
from focal_core.demo.conversations import Conversation, LoggedTurn
from focal_core.errors import ConflictError, InvalidDataError

if TYPE_CHECKING:
    from focal_core.audit.bound import BoundAuditStore
    from focal_core.config.bound import BoundConfigStore
    from focal_core.conversation.bound import BoundSessionStore
    from focal_core.memory.bound import BoundMemoryStore
    from focal_core.profile.bound import BoundProfileStore
    from focal_core.providers.embedding import EmbeddingProvider


@dataclass(frozen=True)
class Stores:
    """The stores of one tenant and the embedding provider, measured."""

    config: BoundConfigStore
    memory: BoundMemoryStore
    sessions: BoundSessionStore
    audit: BoundAuditStore
    profiles: BoundProfileStore
    embedding: EmbeddingProvider


@dataclass(frozen=True)
class Place:
    """Where a turn stands.

    Attributes:
        scenario: the scenario, or None.
        step: the step; None when the scenario has no steps.
    """

    scenario: Scenario | None = None
    step: ScenarioStep | None = None

    @property
    def scenario_id(self) -> UUID | None:
        """Id of the scenario."""
        return None if self.scenario is None else self.scenario.id

    @property
    def step_id(self) -> UUID | None:
        """Id of the step."""
        return None if self.step is None else self.step.id


@dataclass
class Exchange:
    """A turn on its way through the stores.

    Attributes:
        conversation: whose turn it is.
        number: which one, from 0.
        place: where it stands.
        turn_id, session_id: ids of what it is stored as.
        known: its audit record, when an interrupted replay left one.
        missing: required fields of its scenario that the profile does not have in the end.
        refused: facts of the log that the profile store did not take.
    """

    conversation: Conversation
    number: int
    place: Place
    turn_id: UUID
    session_id: UUID
    known: TurnRecord | None = None
    missing: list[str] = field(default_factory=list)
    refused: list[InvalidDataError | ConflictError] = field(default_factory=list)

    @property
    def turn(self) -> LoggedTurn:
        """The turn as logged."""
        return self.conversation.turns[self.number]

    @property
    def text(self) -> str:
        """What is embedded and remembered: the message, or the answer when the assistant speaks first."""
        return self.turn.user or self.turn.assistant or ""
