"""Runtime stores whose permanent archive breaks a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import FocalError
from focal_core.paging import Page
from focal_core.runtime.inmemory import InMemoryPermanentStorage, InMemoryStorageBackend
from focal_core.runtime.models import ArchiveCounts, ArchiveRecord, ArchiveStream
from focal_testkit.mutants import mutant

C = TypeVar("C", bound=type[InMemoryPermanentStorage])


def broken_archive(*kills: str) -> Callable[[C], C]:
    """Register a store whose archive is of the decorated class as a mutant."""

    def register(broken: C) -> C:
        def __init__(self: Any, context: BackendContext | None = None) -> None:
            InMemoryStorageBackend.__init__(self, context)
            self.archive.__class__ = broken

        names = {"__init__": __init__, "__doc__": broken.__doc__, "__module__": broken.__module__}
        mutant(*kills)(type(broken.__name__, (InMemoryStorageBackend,), names))
        return broken

    return register


@broken_archive("RUNTIME-080")
class MixesStreams(InMemoryPermanentStorage):
    """Messages and session events share a stream."""

    async def read(self, stream: ArchiveStream, key: str, **kwargs: Any) -> Page[ArchiveRecord]:
        if stream == ArchiveStream.MESSAGE:
            stream = ArchiveStream.SESSION_EVENT
        return await super().read(stream, key, **kwargs)


@broken_archive("RUNTIME-081", "RUNTIME-084", "RUNTIME-085")
class KeepsTheLatest(InMemoryPermanentStorage):
    """A record replaces the one before it."""

    def _append(self, stream: ArchiveStream, key: str, *args: Any) -> bool:
        for row in list(self._of_key.rows((args[-1], stream, key))):
            self.records.remove(row.tenant_id, row.id)
        return super()._append(stream, key, *args)


@broken_archive("RUNTIME-082", "RUNTIME-087")
class ForgetsEventIds(InMemoryPermanentStorage):
    """A repeated record is a further one."""

    def _append(self, *args: Any) -> bool:
        stream, key, payload, created_at, _, tenant_id = args
        return super()._append(stream, key, payload, created_at, None, tenant_id)


@broken_archive("RUNTIME-083")
class RecordsTheTelling(InMemoryPermanentStorage):
    """``recorded_at`` is what was told."""

    async def read(self, stream: ArchiveStream, key: str, **kwargs: Any) -> Page[ArchiveRecord]:
        found = await super().read(stream, key, **kwargs)
        return Page(({**one, "recorded_at": one["created_at"]} for one in found), found.next_cursor)


@broken_archive("RUNTIME-084")
class NeverGoesOn(InMemoryPermanentStorage):
    """Reading has no cursor."""

    async def read(self, stream: ArchiveStream, key: str, **kwargs: Any) -> Page[ArchiveRecord]:
        return Page(await super().read(stream, key, **{**kwargs, "after": None}))


@broken_archive("RUNTIME-085")
class KeepsTheErased(InMemoryPermanentStorage):
    """Erasing a tenant counts its records and keeps them."""

    async def erase_tenant(self, tenant_id: UUID) -> int:
        return self.records.count(tenant_id)


@broken_archive("RUNTIME-086")
class SwallowsBadArguments(InMemoryPermanentStorage):
    """Wrong arguments are False."""

    async def append_session_event(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return await super().append_session_event(*args, **kwargs)
        except FocalError:
            return False


@broken_archive("RUNTIME-087")
class CountsNothing(InMemoryPermanentStorage):
    """Counters stay at zero."""

    async def counters(self) -> ArchiveCounts:
        return ArchiveCounts(queued=0, written=0, dropped=0, errors=0)
