"""One runnable example of every runtime method."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.runtime.models import ArchiveStream
from focal_core.runtime.store import RuntimeStore
from focal_testkit.data.runtime import SESSION, THREAD, USER
from focal_testkit.scenarios import Scenarios


class RuntimeScenarios(Scenarios):
    """One session with a message, a context, and a thread with a checkpoint and a pending write."""

    store_class = RuntimeStore
    stored = ()
    creates = frozenset(
        {
            "create_session",
            "add_conversation_message",
            "store_checkpoint",
            "put_checkpoint",
            "put_writes",
            "store_task_context",
        }
    )
    maintenance = Scenarios.maintenance | {
        "initialize",
        "close",
        "health_check",
        "get_metrics",
        # Needs a clock that moves; the requirements on cleaning up run it as a stranger too.
        "cleanup_expired_sessions",
    }
    nil_tenant_when_omitted = True

    async def seed(self, store: RuntimeStore, tenant_id: UUID) -> None:
        """Store the world; what differs between tenants is the text."""
        told = {"tenant": str(tenant_id)}
        await store.create_session(SESSION, USER, told, tenant_id=tenant_id)
        await store.add_conversation_message(SESSION, "user", f"{tenant_id} speaks", told, tenant_id=tenant_id)
        await store.store_checkpoint(THREAD, "c1", told, told, tenant_id=tenant_id)
        await store.put_writes(THREAD, "c1", "task", [("channel", str(tenant_id))], tenant_id=tenant_id)
        await store.store_task_context(SESSION, told, tenant_id=tenant_id)
        if "archive" in store.capabilities:
            await store.archive.append_task_context_snapshot(SESSION, told, tenant_id=tenant_id)  # type: ignore[attr-defined]

    async def snapshot(self, store: RuntimeStore, tenant_id: UUID) -> Any:
        """Return everything of the world's ids."""
        archived = None
        if "archive" in store.capabilities:
            archived = await store.archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=tenant_id)  # type: ignore[attr-defined]
        return (
            await store.get_session(SESSION, tenant_id=tenant_id),
            await store.get_conversation_history(SESSION, tenant_id=tenant_id),
            await store.list_checkpoints(THREAD, tenant_id=tenant_id),
            await store.get_writes(THREAD, "c1", with_task_ids=True, tenant_id=tenant_id),
            await store.get_task_context(SESSION, tenant_id=tenant_id),
            archived,
        )

    async def create_session(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Create a further session."""
        return await store.create_session("another", USER, tenant_id=tenant)

    async def get_session(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Read the seeded session."""
        return await store.get_session(SESSION, tenant_id=tenant)

    async def update_session(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Update the seeded session."""
        return await store.update_session(SESSION, {"k": 1}, True, tenant_id=tenant)

    async def end_session(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """End the seeded session."""
        return await store.end_session(SESSION, tenant_id=tenant)

    async def add_conversation_message(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Append a further message."""
        return await store.add_conversation_message(SESSION, "user", "more", tenant_id=tenant)

    async def get_conversation_history(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Read the seeded message."""
        return await store.get_conversation_history(SESSION, tenant_id=tenant)

    async def store_checkpoint(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Replace the seeded checkpoint."""
        return await store.store_checkpoint(THREAD, "c1", {"new": 1}, tenant_id=tenant)

    async def put_checkpoint(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Replace the seeded checkpoint."""
        return await store.put_checkpoint(THREAD, "c1", {"new": 1}, tenant_id=tenant)

    async def get_checkpoint(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Read the seeded checkpoint."""
        return await store.get_checkpoint(THREAD, "c1", tenant_id=tenant)

    async def list_checkpoints(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """List the seeded checkpoint."""
        return await store.list_checkpoints(THREAD, tenant_id=tenant)

    async def delete_thread(self, store: RuntimeStore, tenant: UUID | None, world: None) -> int:
        """Delete the seeded thread."""
        return await store.delete_thread(THREAD, tenant_id=tenant)

    async def put_writes(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Replace the seeded write."""
        return await store.put_writes(THREAD, "c1", "task", [("channel", 2)], tenant_id=tenant)

    async def get_writes(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Read the seeded write."""
        return await store.get_writes(THREAD, "c1", tenant_id=tenant)

    async def get_task_context(self, store: RuntimeStore, tenant: UUID | None, world: None) -> Any:
        """Read the seeded context."""
        return await store.get_task_context(SESSION, tenant_id=tenant)

    async def store_task_context(self, store: RuntimeStore, tenant: UUID | None, world: None) -> bool:
        """Replace the seeded context."""
        return await store.store_task_context(SESSION, {"new": 1}, tenant_id=tenant)
