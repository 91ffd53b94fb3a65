"""What a backend is handed besides its options: clock, isolation, limits, policies, ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from focal_core.base import TolerantEnum
from focal_core.clock import Clock, SystemClock
from focal_core.conversation.policy import SessionPolicy
from focal_core.ids import uuid7
from focal_core.profile.policy import ProfilePolicy
from focal_core.vectors import VectorPolicy


class Isolation(TolerantEnum):
    """What an omitted tenant means."""

    STRICT = "strict"
    """An error."""
    TRUSTING = "trusting"
    """Whatever single tenant the call can mean; an error when there are several."""


@dataclass(frozen=True)
class Limits:
    """Sizes beyond which data is refused; built from settings ``[limits]``.

    Attributes:
        text_chars: characters of one free text.
        document_bytes: bytes of one JSON value, serialised.
        metadata_bytes: bytes of one ``metadata`` object, serialised.
        list_items: items of one list.
        unpaged_cap: rows of a list called without a limit.
    """

    text_chars: int = 1_048_576
    document_bytes: int = 1_048_576
    metadata_bytes: int = 262_144
    list_items: int = 10_000
    unpaged_cap: int = 10_000


@dataclass(frozen=True)
class BackendContext:
    """What a backend, and every store it hands out, shares with the rest of focal."""

    clock: Clock = field(default_factory=SystemClock)
    isolation: Isolation = Isolation.STRICT
    limits: Limits = field(default_factory=Limits)
    profile_policy: ProfilePolicy = field(default_factory=ProfilePolicy)
    session_policy: SessionPolicy = field(default_factory=SessionPolicy)
    vector_policy: VectorPolicy = field(default_factory=VectorPolicy)
    id_factory: Callable[[], UUID] = uuid7
