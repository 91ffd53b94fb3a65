"""Lists of sessions: an index walked in the server, page by page, over all shards of the tenant."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.errors import InvalidDataError
from focal_core.inmemory.table import micros
from focal_core.paging import Page, check_paging, decode_cursor, encode_cursor, too_many_rows
from focal_redis import frame
from focal_redis.client import RedisClient
from focal_redis.conversation.scripts import LIST
from focal_redis.keys import Keys

_FIRST = ("-inf", "")


class Index(NamedTuple):
    """One of the indexes of each shard.

    Attributes:
        name: returns its key under the base of a shard.
        field: first and last byte of the header's field that names it.
        value: what stands there.
    """

    name: Callable[[bytes], bytes]
    field: tuple[int, int]
    value: bytes


class Walk(NamedTuple):
    """What of an index is wanted.

    Attributes:
        method: the store's method.
        place: the index.
        status: only sessions of this status code; empty for any.
        agent: only sessions with this agent; empty for any.
        keep: only sessions it returns True for.
    """

    method: str
    place: Index
    status: bytes = b""
    agent: bytes = b""
    keep: Callable[[Session], bool] | None = None


class Lister:
    """Reads indexes.

    Args:
        client: where they are.
        context: clock and limits.
        keys: the names of the keys.
    """

    def __init__(self, client: RedisClient, context: BackendContext, keys: Keys) -> None:
        self._client = client
        self._context = context
        self._keys = keys

    async def page(
        self,
        tenant_id: UUID,
        walk: Walk,
        *,
        scope: str,
        limit: int | None,
        offset: int = 0,
        after: str | None = None,
    ) -> Page[Session]:
        """Return one page, by last_activity_at descending, then id ascending.

        Args:
            tenant_id: the owner.
            walk: what is wanted.
            scope: from ``paging.cursor_scope``.
            limit: rows; None = all, up to ``limits.unpaged_cap``.
            offset: rows left out at the start.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit, offset or cursor are wrong, or an unlimited list exceeds the cap (code
                ``result_too_large``).
        """
        check_paging(limit, offset, after)
        start = _FIRST if after is None else _position(decode_cursor(after, scope))
        cap = self._context.limits.unpaged_cap
        wanted = cap if limit is None else limit
        bases = self._keys.bases(tenant_id)
        if len(bases) == 1:
            found = await self._walk(bases[0], walk, start, offset, wanted + 1)
        else:
            shards = await asyncio.gather(*(self._walk(base, walk, start, 0, offset + wanted + 1) for base in bases))
            found = sorted((row for rows in shards for row in rows), key=_order)[offset:]
        if len(found) <= wanted:
            return Page(found)
        if limit is None:
            raise too_many_rows(cap)
        return Page(found[:wanted], encode_cursor(scope, _order(found[wanted - 1])))

    async def newest(self, tenant_id: UUID, walk: Walk, hot_milliseconds: int) -> list[Session]:
        """Return the newest session of each shard, newest first; that of an only shard is put into the hot tier.

        Args:
            tenant_id: the owner.
            walk: what is wanted.
            hot_milliseconds: how long it stays there; 0 = it is not put there.
        """
        bases = self._keys.bases(tenant_id)
        if len(bases) == 1:
            return await self._walk(bases[0], walk, _FIRST, 0, 1, hot_milliseconds)
        shards = await asyncio.gather(*(self._walk(base, walk, _FIRST, 0, 1) for base in bases))
        return sorted((row for rows in shards for row in rows), key=_order)

    async def _walk(
        self, base: bytes, walk: Walk, start: tuple[str, str], skip: int, wanted: int, hot_milliseconds: int = 0
    ) -> list[Session]:
        """Return the first so many matches of a shard behind a position, some of them passed over."""
        now = self._context.clock.now()
        index, (score, last) = walk.place, start
        given = (base, micros(now), *index.field, index.value, walk.status, walk.agent)
        found: list[Session] = []
        while True:
            args = (*given, skip, wanted - len(found), score, last, hot_milliseconds)
            reply = await self._client.run(walk.method, LIST, [index.name(base)], args, writes=False, finds_keys=True)
            for text in reply[4::2]:
                row = frame.load(text, now)
                if row is not None and (walk.keep is None or walk.keep(row)):
                    found.append(row)
            score, last, skip = reply[0].decode(), reply[1].decode(), reply[2]
            if not score or len(found) >= wanted:
                return found


def _order(row: Session) -> tuple[int, str]:
    return -micros(row.last_activity_at), str(row.session_id)


def _position(key: list[Any]) -> tuple[str, str]:
    """Return where a cursor's key points to.

    Raises:
        InvalidDataError: code ``cursor_invalid``: the key was forged.
    """
    try:
        score, last = key
        return str(operator.index(score)), str(UUID(last))
    except (ValueError, TypeError, AttributeError):
        raise InvalidDataError("the cursor is malformed", code="cursor_invalid") from None
