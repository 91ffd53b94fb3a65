"""Runtime stores that break a rule about pending writes."""

from __future__ import annotations

import asyncio
from typing import Any

from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_testkit.mutants import mutant

Writes = list[tuple[Any, ...]]


@mutant("RUNTIME-040")
class ReturnsLists(InMemoryStorageBackend):
    """Writes come back as lists."""

    async def get_writes(self, *args: Any, **kwargs: Any) -> Writes:
        return [list(write) for write in await super().get_writes(*args, **kwargs)]  # type: ignore[misc]


@mutant("RUNTIME-041", "RUNTIME-043")
class OrdersByTaskId(InMemoryStorageBackend):
    """Writes are read by task id."""

    async def get_writes(self, *args: Any, with_task_ids: bool = False, **kwargs: Any) -> Writes:
        found = await super().get_writes(*args, with_task_ids=True, **kwargs)
        found.sort(key=lambda write: str(write[0]))
        return found if with_task_ids else [write[1:] for write in found]


@mutant("RUNTIME-042")
class AppendsWrites(InMemoryStorageBackend):
    """Writes stored again stand behind the earlier ones."""

    async def put_writes(
        self, thread_id: str, checkpoint_id: str, task_id: str, writes_data: Writes, **place: Any
    ) -> bool:
        found = await self.get_writes(thread_id, checkpoint_id, with_task_ids=True, **place)
        earlier = [write[1:] for write in found if write[0] == task_id]
        both = [*earlier, *writes_data] if isinstance(writes_data, list) else writes_data
        return await super().put_writes(thread_id, checkpoint_id, task_id, both, **place)


@mutant("RUNTIME-042")
class ReplacesTheTask(InMemoryStorageBackend):
    """Writes stored again remove all earlier ones of their task."""

    async def put_writes(
        self, thread_id: str, checkpoint_id: str, task_id: str, writes_data: Writes, **place: Any
    ) -> bool:
        for row in self._writes.rows(place["tenant_id"]):
            if (row.thread_id, row.checkpoint_id, row.task_id) == (thread_id, checkpoint_id, task_id):
                self._writes.remove(row.tenant_id, row.id)
        return await super().put_writes(thread_id, checkpoint_id, task_id, writes_data, **place)


@mutant("RUNTIME-043")
class ForgetsTaskIds(InMemoryStorageBackend):
    """Task ids are left out although they were asked for."""

    async def get_writes(self, *args: Any, with_task_ids: bool = False, **kwargs: Any) -> Writes:
        return await super().get_writes(*args, **kwargs)


@mutant("RUNTIME-044")
class TakesLists(InMemoryStorageBackend):
    """Writes of any kind are made tuples."""

    async def put_writes(
        self, thread_id: str, checkpoint_id: str, task_id: str, writes_data: Writes, **place: Any
    ) -> bool:
        taken = [tuple(write) for write in writes_data or ()]
        return await super().put_writes(thread_id, checkpoint_id, task_id, taken, **place)


@mutant("RUNTIME-045")
class WritesWithoutNamespace(InMemoryStorageBackend):
    """Writes of all namespaces are kept together."""

    async def put_writes(self, *args: Any, checkpoint_ns: str = "", **kwargs: Any) -> bool:
        return await super().put_writes(*args, **kwargs)

    async def get_writes(self, *args: Any, checkpoint_ns: str = "", **kwargs: Any) -> Writes:
        return await super().get_writes(*args, **kwargs)


@mutant("RUNTIME-046")
class WritesOneByOne(InMemoryStorageBackend):
    """Writes are stored one by one, with pauses between them."""

    async def put_writes(
        self, thread_id: str, checkpoint_id: str, task_id: str, writes_data: Writes, **place: Any
    ) -> bool:
        for count in range(len(writes_data)):
            await super().put_writes(thread_id, checkpoint_id, task_id, writes_data[: count + 1], **place)
            await asyncio.sleep(0)
        return True
