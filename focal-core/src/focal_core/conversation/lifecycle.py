"""The rules of a session's life that every backend of the sessions port shares; no I/O."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.conversation.models import Channel, Session, SessionStatus, StepVisit
from focal_core.conversation.policy import SessionPolicy
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_core.gate import admit, member
from focal_core.paging import cursor_scope
from focal_core.values import canonical_json

if TYPE_CHECKING:
    from focal_core.config.models import ScopeFilter

_STORE_FIELDS = {"created_at", "last_activity_at", "expires_at", "version"}
_TOKENS = random.Random()
"""Seeded by the operating system, which is too slow to be asked for each write. No secrets: they must only differ."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TOKENS.seed)


def expiry(created_at: datetime, last_activity_at: datetime, policy: SessionPolicy) -> datetime:
    """Return when a session is gone: last_activity_at + idle TTL or created_at + maximum age, the earlier."""
    idle = timedelta(seconds=policy.idle_ttl_seconds)
    # Counted from last_activity_at, since created_at is the caller's and may lie at the end of time.
    age_left = timedelta(seconds=policy.max_session_age_seconds) - (last_activity_at - created_at)
    return last_activity_at + min(idle, age_left)


def end_of(stored: Session) -> datetime:
    """Return when a stored session is gone."""
    assert stored.expires_at is not None, "every save sets it"
    return stored.expires_at


def is_live(stored: Session, now: datetime) -> bool:
    """Return whether a stored session is still there for readers."""
    return now < end_of(stored)


def prepare(session: Session, context: BackendContext) -> Session:
    """Return the copy of a session that a save would store, without version and times: checked and capped.

    Raises:
        InvalidDataError: the session is invalid or exceeds a limit.
    """
    row = admit(session, context.limits)
    cap_history(row, context.session_policy)
    return row


def cap_history(row: Session, policy: SessionPolicy) -> bool:
    """Drop the oldest visits beyond the limit and count them; return whether there were any."""
    excess = len(row.step_history) - policy.step_history_limit
    if excess <= 0:
        return False
    row.set_stored(step_history=row.step_history[excess:], step_history_dropped=row.step_history_dropped + excess)
    return True


def check_transition(row: Session, stored: Session, *, force: bool) -> None:
    """Refuse what no save may change: agent_id and created_at (INV-SE2), and, unless forced, a closed status (INV-SE3).

    Raises:
        InvalidDataError: code ``immutable_field``.
        ConflictError: code ``session_closed``.
    """
    # A created_at that nobody set is the default of an object built anew, not a wish.
    given = [name for name in ("agent_id", "created_at") if name in row.model_fields_set]
    changed = [name for name in given if getattr(row, name) != getattr(stored, name)]
    if changed:
        raise InvalidDataError(
            f"session {row.session_id}: {' and '.join(changed)} cannot change after the first save",
            code="immutable_field",
            hint="start a new session instead",
        )
    if stored.status is SessionStatus.CLOSED and row.status is not SessionStatus.CLOSED and not force:
        raise ConflictError(
            f"session {row.session_id} is closed",
            code="session_closed",
            hint="start a new session, or save with force=True to open this one again",
        )


def settle(row: Session, stored: Session | None, now: datetime, policy: SessionPolicy) -> None:
    """Set version and times of a row that is about to be stored in place of another one, or of none."""
    if stored is not None:
        row.set_stored(created_at=stored.created_at)
    elif "created_at" not in row.model_fields_set:
        row.set_stored(created_at=now)
    row.set_stored(
        version=1 if stored is None else stored.version + 1,
        last_activity_at=now,
        expires_at=expiry(row.created_at, now, policy),
    )


def acknowledge(session: Session, stored: Session) -> None:
    """Set on the caller's object what a successful save has decided, and forget its write token."""
    session.set_stored(
        version=stored.version,
        created_at=stored.created_at,
        last_activity_at=stored.last_activity_at,
        expires_at=stored.expires_at,
    )
    if stored.step_history_dropped != session.step_history_dropped:
        kept = len(stored.step_history)
        session.set_stored(
            step_history=session.step_history[len(session.step_history) - kept :],
            step_history_dropped=stored.step_history_dropped,
        )
    _private(session)["_write_token"] = None


def stale(session: Session, actual: int) -> StaleVersionError:
    """Return the error of a lost compare-and-swap, and make the object forget its write token.

    Args:
        session: the caller's object.
        actual: the stored version; 0 when nothing is stored.
    """
    _private(session)["_write_token"] = None
    return StaleVersionError(
        f"session {session.session_id} has version {actual}, not {session.version}",
        expected=session.version,
        actual=actual,
    )


def write_token(session: Session) -> bytes:
    """Return the 8 bytes that identify the write an object is about: drawn once, kept until its outcome is known.

    Equal content is no proof that a write was one's own: two writers may count the same counter up from the same
    version at the same instant.
    """
    private = _private(session)
    token: bytes | None = private["_write_token"]
    if token is None:
        token = private["_write_token"] = _TOKENS.getrandbits(64).to_bytes(8, "big")
    return token


def _private(session: Session) -> dict[str, Any]:
    """Return the private attributes of a session; by their names each costs pydantic a search of the class."""
    private = session.__pydantic_private__
    assert private is not None, "a session has some"
    return private


def content_digest(session: Session) -> bytes:
    """Return SHA-256 over the canonical JSON of what a caller decides; version and times are left out."""
    return hashlib.sha256(canonical_json(session.model_dump(mode="json", exclude=_STORE_FIELDS))).digest()


def current_visit(session: Session) -> StepVisit | None:
    """Return the newest visit of the step a session stands at, or None when it has none."""
    step_id = session.current_step_id
    return next((visit for visit in reversed(session.step_history) if visit.step_id == step_id), None)


def step_content_hash(session: Session) -> str | None:
    """Return the content hash of the step a session stands at, as of when it entered it; None when unknown."""
    visit = current_visit(session)
    return None if visit is None else visit.step_content_hash


def step_test(
    version: int | None, content_hash: str | None, scope: ScopeFilter | None, now: datetime
) -> Callable[[Session], bool]:
    """Return the test whether ``list_by_step`` returns a session that stands in the scenario.

    Raises:
        InvalidDataError: as ``scope_test``.
    """
    takes_in = scope_test(scope, now)

    def wanted(session: Session) -> bool:
        return (
            version in (None, session.active_scenario_version)
            and content_hash in (None, step_content_hash(session))
            and takes_in(session)
        )

    return wanted


def step_cursor_scope(
    tenant_id: UUID, scenario_id: UUID, version: int | None, content_hash: str | None, scope: ScopeFilter | None
) -> str:
    """Return what binds a cursor of ``list_by_step`` to the tenant and every filter."""
    filters = None if scope is None else scope.model_dump(mode="json")
    return cursor_scope(
        tenant_id, "list_by_step", scenario=scenario_id, version=version, content=content_hash, filters=filters
    )


def scope_test(scope: ScopeFilter | None, now: datetime) -> Callable[[Session], bool]:
    """Return the test whether a scope takes a session in; an empty include list takes in everything.

    Raises:
        InvalidDataError: a channel cannot be one, or the scope has conditions a store cannot judge
            (code ``custom_conditions``).
    """
    if scope is None:
        return lambda session: True
    if scope.custom_conditions:
        raise InvalidDataError(
            "a store cannot judge the custom_conditions of a scope",
            code="custom_conditions",
            hint="pass the scope without them and test the sessions returned",
        )
    included = {member(Channel, name, "include_channels") for name in scope.include_channels}
    excluded = {member(Channel, name, "exclude_channels") for name in scope.exclude_channels}
    youngest = None if scope.min_session_age_days is None else timedelta(days=scope.min_session_age_days)
    oldest = None if scope.max_session_age_days is None else timedelta(days=scope.max_session_age_days)

    def takes_in(session: Session) -> bool:
        visit = current_visit(session)
        node = None if visit is None else visit.step_name
        age = now - session.created_at
        return (
            (not included or session.channel in included)
            and session.channel not in excluded
            and (not scope.include_current_nodes or node in scope.include_current_nodes)
            and node not in scope.exclude_current_nodes
            and (youngest is None or age >= youngest)
            and (oldest is None or age <= oldest)
        )

    return takes_in
