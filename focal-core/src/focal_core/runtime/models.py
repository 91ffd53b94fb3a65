"""What the runtime port returns: plain dicts with exactly these keys; times are ISO 8601 in UTC."""

from __future__ import annotations

from typing import Any, TypedDict

from focal_core.base import TolerantEnum


class RuntimeStatus(TolerantEnum):
    """The states of a runtime session focal knows; ``end_session`` takes any other identifier too."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"


class ArchiveStream(TolerantEnum):
    """Kinds of records in the permanent archive."""

    SESSION_EVENT = "session_event"
    MESSAGE = "message"
    CHECKPOINT = "checkpoint"
    CHECKPOINT_WRITES = "checkpoint_writes"
    CONVERSATION_SESSION = "conversation_session"
    TASK_CONTEXT = "task_context"


class OverflowPolicy(TolerantEnum):
    """What happens to an archive write when the queue is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    BLOCK = "block"


class RuntimeSession(TypedDict):
    """A session of the runtime; ``total_processing_time`` is in the unit its caller adds."""

    session_id: str
    user_id: str
    status: str
    metadata: dict[str, Any]
    created_at: str
    last_activity: str
    ended_at: str | None
    request_count: int
    error_count: int
    total_processing_time: float


class ConversationMessage(TypedDict):
    """A message; ``seq`` strictly increases within its session."""

    id: str
    session_id: str
    role: str
    content: str
    metadata: dict[str, Any]
    timestamp: str
    seq: int


class CheckpointRecord(TypedDict):
    """A checkpoint of a thread."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    checkpoint_data: dict[str, Any]
    metadata: dict[str, Any]
    created_at: str


class SessionCounts(TypedDict):
    """How many sessions there are, and how many of them are active."""

    active: int
    total: int


class ArchiveCounts(TypedDict):
    """What became of archive writes; ``queued`` is the present, the others are totals since the start."""

    queued: int
    written: int
    dropped: int
    errors: int


class RuntimeMetrics(TypedDict):
    """Counts of the runtime store."""

    sessions: SessionCounts
    messages: int
    checkpoints: int
    archive: ArchiveCounts
    backend: str
    uptime_seconds: float


class ArchiveRecord(TypedDict):
    """A record of the permanent archive: ``created_at`` as told, ``recorded_at`` by the archive's clock."""

    event_id: str
    stream: str
    key: str
    payload: dict[str, Any]
    created_at: str
    recorded_at: str
