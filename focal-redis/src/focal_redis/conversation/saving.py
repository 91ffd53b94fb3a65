"""Saving a session by compare-and-swap, in one script."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import NamedTuple

from focal_core.context import BackendContext
from focal_core.conversation import lifecycle
from focal_core.conversation.models import Session
from focal_core.errors import REFUSED_IN_DOUBT, OutcomeUnknownError, StoreUnavailableError
from focal_core.inmemory.table import micros
from focal_redis import frame
from focal_redis.client import RedisClient
from focal_redis.conversation.scripts import SAVE
from focal_redis.frame import Document, Head
from focal_redis.keys import (
    Keys,
    SessionKeys,
    agent_index,
    channel_index,
    customer_index,
    scenario_index,
)

_NUMBERS = struct.Struct(">Q8q")
_TRIES = 16
"""How often a forced save meets another writer before it gives up."""


class Draft(NamedTuple):
    """A session on its way into the store.

    Attributes:
        row: what will be stored.
        document: its JSON.
        keys: where it goes.
        token: of this write.
        digest: of the document.
        created_at: when it began, as far as the caller says.
    """

    row: Session
    document: Document
    keys: SessionKeys
    token: bytes
    digest: bytes
    created_at: datetime | None


class Saver:
    """Writes sessions.

    Args:
        client: where to.
        context: clock, limits, policies.
        keys: the names of the keys.
        hot_tier: whether a copy goes to the hot tier; without one, the lasting copy is compressed.
    """

    def __init__(self, client: RedisClient, context: BackendContext, keys: Keys, *, hot_tier: bool) -> None:
        self._client = client
        self._context = context
        self._keys = keys
        self._hot_tier = hot_tier

    def draft(self, session: Session) -> Draft:
        """Return what a save of an object would store.

        Raises:
            InvalidDataError: the session is invalid or exceeds a limit.
        """
        row, document = frame.admit(session, self._context.limits)
        if lifecycle.cap_history(row, self._context.session_policy):
            document = frame.dump(row)
        return Draft(
            row,
            document,
            self._keys.session(row.tenant_id, row.session_id),
            lifecycle.write_token(session),
            frame.digest(document),
            row.created_at if "created_at" in row.model_fields_set else None,
        )

    async def save(self, session: Session, draft: Draft) -> Head:
        """Store a draft if the version it expects is stored, and return what was decided.

        Raises:
            FocalError: as ``SessionStore.save``.
        """
        expected, created = draft.row.version, draft.created_at
        if expected and created is None:
            # An object built anew: it takes over the beginning of what is stored.
            stored = await self.stored("save", draft.keys)
            if stored is None:
                raise lifecycle.stale(session, 0)
            created = stored.created_at
        head = self._head(draft, expected, created)
        try:
            saved, present = await self._attempt(draft, head, expected)
        except OutcomeUnknownError as error:
            # The object carries the token: a repeat of the very same save finds out what became of it.
            error.token, error.retryable = draft.token, True
            if error.code != "connection_lost":
                raise
            return await self._settled(draft, head, expected, error)
        if saved is not None:
            return saved
        if present is not None and present.version == expected:
            _check(draft, present, force=False)
        raise lifecycle.stale(session, 0 if present is None else present.version)

    async def force(self, draft: Draft) -> Head:
        """Store a draft whatever version is stored, and return what was decided.

        Raises:
            FocalError: as ``SessionStore.save``.
        """
        for _ in range(_TRIES):
            stored = await self.stored("save", draft.keys)
            if stored is not None:
                _check(draft, stored, force=True)
            expected, created = (0, draft.created_at) if stored is None else (stored.version, stored.created_at)
            head = self._head(draft, expected, created)
            try:
                saved, _ = await self._attempt(draft, head, expected, force=True)
            except OutcomeUnknownError as error:
                error.token, error.retryable = draft.token, False
                raise
            if saved is not None:
                return saved
        raise StoreUnavailableError(
            f"session {draft.row.session_id} changed each time it was to be saved", code="contention"
        )

    async def stored(self, method: str, keys: SessionKeys) -> Head | None:
        """Return the head of what is stored, or None when nothing is."""
        header = await self._client.call(method, "GETRANGE", keys.persist, 0, frame.SIZE - 1, key=keys.persist)
        head = frame.head_of(header) if header else None
        return None if head is None or head.expires_at <= self._context.clock.now() else head

    def _head(self, draft: Draft, expected: int, created: datetime | None) -> Head:
        now = self._context.clock.now()
        return Head(
            version=expected + 1,
            write_token=draft.token,
            digest=draft.digest,
            created_at=created or now,
            last_activity_at=now,
            expires_at=lifecycle.expiry(created or now, now, self._context.session_policy),
            agent_id=draft.row.agent_id,
            status=draft.row.status,
        )

    async def _attempt(
        self, draft: Draft, head: Head, expected: int, *, force: bool = False
    ) -> tuple[Head | None, Head | None]:
        """Run the script; return what this save stored, now or by an earlier try, or else what stands in its way."""
        policy, row, keys = self._context.session_policy, draft.row, draft.keys
        now, expires = micros(head.last_activity_at), micros(head.expires_at)
        # Rounded up: the server must not end it before its time, readers look at the header.
        lives = -(-(expires - now) // 1000)
        hot = min(policy.hot_ttl_seconds * 1000, lives) if self._hot_tier else 0
        longest = policy.max_session_age_seconds * 1000 + max(0, (micros(head.created_at) - now) // 1000)
        channel = frame.channel_of(row)
        text = frame.framed(row, draft.document, head, channel)
        oldest = policy.idle_ttl_seconds * 1_000_000 - now
        numbers = _NUMBERS.pack(expected, now, lives, hot, -now, expires, oldest, longest, force)
        args = (text if self._hot_tier else frame.packed(text), keys.id, keys.base, numbers)
        names = [keys.persist, keys.hot, keys.all, *(_indexes(row, channel, keys.base) if lives > 0 else ())]
        reply = await self._client.run("save", SAVE, names, args, writes=True)
        if reply == 1:
            return head, None
        return _judged(draft, expected, frame.head_of(reply) if reply else None)

    async def _settled(self, draft: Draft, head: Head, expected: int, error: OutcomeUnknownError) -> Head:
        """Return what a save whose reply was lost stored, sent again where that is safe; else raise the error."""
        try:
            if expected:
                # It is refused if it took effect the first time, and known by its token.
                saved, present = await self._attempt(draft, head, expected)
            else:
                # A session that was begun and deleted meanwhile would be begun anew.
                saved, present = _judged(draft, expected, await self.stored("save", draft.keys))
        except StoreUnavailableError:
            raise error from None
        if saved is not None:
            return saved
        if expected or present is not None:
            error.code, error.retryable = REFUSED_IN_DOUBT, False
        raise error


def _judged(draft: Draft, expected: int, present: Head | None) -> tuple[Head | None, Head | None]:
    """Return what is stored as saved where a try of this very save has written it, else as in its way."""
    ours = (expected + 1, draft.token, draft.digest)
    is_ours = present is not None and (present.version, present.write_token, present.digest) == ours
    return (present, None) if is_ours else (None, present)


def _check(draft: Draft, present: Head, *, force: bool) -> None:
    fields = {"agent_id": present.agent_id, "created_at": present.created_at, "status": present.status}
    lifecycle.check_transition(draft.row, draft.row.model_copy(update=fields), force=force)


def _indexes(row: Session, channel: bytes, base: bytes) -> list[bytes]:
    """Return the indexes a session belongs in."""
    names = [agent_index(base, row.agent_id)]
    if channel is not frame.NOBODY:
        names.append(channel_index(base, channel))
    if row.customer_profile_id is not None:
        names.append(customer_index(base, row.customer_profile_id))
    if row.active_scenario_id is not None:
        names.append(scenario_index(base, row.active_scenario_id))
    return names
