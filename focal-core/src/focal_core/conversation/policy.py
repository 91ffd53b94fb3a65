"""How long sessions live and how much history they keep: built from settings ``[session]``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionPolicy:
    """What every SessionStore is handed besides its resource.

    Attributes:
        hot_ttl_seconds: idle time after which a session leaves the hot tier (it is not lost).
        idle_ttl_seconds: idle time after which a session is gone; sliding.
        max_session_age_seconds: age after which a session is gone, however active; absolute.
        step_history_limit: visits kept in ``Session.step_history``; older ones are dropped and counted.
    """

    hot_ttl_seconds: int = 1_800
    idle_ttl_seconds: int = 604_800
    max_session_age_seconds: int = 604_800
    step_history_limit: int = 200
