"""Dual writes that break a rule."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import FocalError
from focal_core.runtime.dual_write import DualWriteStorage
from focal_core.runtime.models import OverflowPolicy, RuntimeSession
from focal_testkit.mutants import mutant


@mutant("RUNTIME-090")
class ForgetsWrites(DualWriteStorage):
    """Pending writes are not archived."""

    async def put_writes(self, *args: Any, **kwargs: Any) -> bool:
        return await self._hot.put_writes(*args, **kwargs)


@mutant("RUNTIME-091", "RUNTIME-092")
class WritesTheArchiveFirst(DualWriteStorage):
    """The archive is written before the store, and its trouble is the caller's."""

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        if not await self._append_context(session_id=session_id, context_data=context, tenant_id=tenant_id):
            raise FocalError("the archive refused")
        return await self._hot.store_task_context(session_id, context, tenant_id=tenant_id)


@mutant("RUNTIME-091", "RUNTIME-093")
class AlwaysWell(DualWriteStorage):
    """Health is that of the store alone."""

    async def health_check(self) -> dict[str, Any]:
        report = await super().health_check()
        return {**report, "status": "ok"}


@mutant("RUNTIME-093", "RUNTIME-094")
class QueuesWithoutBound(DualWriteStorage):
    """The queue takes everything."""

    def __init__(self, hot: Any, permanent: Any, **options: Any) -> None:
        super().__init__(hot, permanent, **{**options, "max_queue": 10**9})


@mutant("RUNTIME-093", "RUNTIME-094")
class DropsWhateverItIsTold(DualWriteStorage):
    """The policy is turned around."""

    def __init__(self, hot: Any, permanent: Any, **options: Any) -> None:
        oldest = options.get("overflow", "drop_oldest") == "drop_oldest"
        turned = OverflowPolicy.DROP_NEWEST if oldest else OverflowPolicy.DROP_OLDEST
        super().__init__(hot, permanent, **{**options, "overflow": turned})


@mutant("RUNTIME-095")
class ClosesAtOnce(DualWriteStorage):
    """Closing does not wait for what is queued."""

    async def close(self) -> None:
        self._queue._waiting.clear()
        await super().close()


@mutant("RUNTIME-096")
class ArchivesRepeats(DualWriteStorage):
    """A session created again is archived again."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        session = await self._hot.create_session(session_id, user_id, metadata, tenant_id=tenant_id)
        await self._event(session_id, "created", {"metadata": session["metadata"]}, tenant_id)
        return session


@mutant("RUNTIME-096")
class MessageIdIsTheEvent(DualWriteStorage):
    """Messages of one id share a record, whatever their sessions."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        seen = self.__dict__.setdefault("seen", set())
        if kwargs["message_id"] in seen:
            return await self._hot.add_conversation_message(session_id, *args, **kwargs)
        seen.add(kwargs["message_id"])
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-097")
class ArchivesTheUnknown(DualWriteStorage):
    """Ending an unknown session is archived."""

    async def end_session(self, session_id: str, status: str = "completed", *, tenant_id: UUID | None = None) -> bool:
        await self._event(session_id, "ended", {"status": status}, tenant_id)
        return await self._hot.end_session(session_id, status, tenant_id=tenant_id)


@mutant("RUNTIME-098")
class ErasesTheStoreOnly(DualWriteStorage):
    """Erasing a tenant leaves the queue alone."""

    async def erase_tenant(self, tenant_id: UUID) -> int:
        return await self._hot.erase_tenant(tenant_id) + await self.archive.erase_tenant(tenant_id)


@mutant("RUNTIME-099")
class NeedsATenant(DualWriteStorage):
    """What has no tenant is not archived."""

    async def _event(self, *args: Any) -> None:
        if args[3] is not None:
            await super()._event(*args)
