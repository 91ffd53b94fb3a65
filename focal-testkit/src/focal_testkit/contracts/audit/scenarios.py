"""One runnable example of every audit method."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.audit.store import AuditStore
from focal_testkit.data.audit import AGENT, SESSION, event, turn
from focal_testkit.scenarios import Listing, Scenarios, Stored


async def _add_turn(store: AuditStore, tenant: UUID, n: int) -> UUID:
    return await store.save_turn(turn(n, tenant))


async def _add_event(store: AuditStore, tenant: UUID, n: int) -> UUID:
    return await store.save_event(event(n, tenant))


class AuditScenarios(Scenarios):
    """Turns 0 to 2 and events 0 to 2 of one session."""

    store_class = AuditStore
    creates = frozenset({"save_turn", "save_turns", "save_event"})
    capability_calls: ClassVar = {"purge": ["purge"]}
    stored = (
        Stored(
            TurnRecord,
            save=lambda store, one: store.save_turn(one),
            get=lambda store, one: store.get_turn(one.id, tenant_id=one.tenant_id),
            clock=frozenset({"recorded_at"}),
        ),
        Stored(
            AuditEvent,
            save=lambda store, one: store.save_event(one),
            get=lambda store, one: store.get_event(one.id, tenant_id=one.tenant_id),
            clock=frozenset({"recorded_at"}),
        ),
    )
    listings = (
        Listing(
            "list_turns_by_session",
            add=_add_turn,
            fetch=lambda store, tenant, **paging: store.list_turns_by_session(SESSION, tenant_id=tenant, **paging),
            other=lambda store, tenant, **paging: store.list_turns_by_tenant(tenant, **paging),
            has_offset=True,
        ),
        Listing(
            "list_turns_by_tenant",
            add=_add_turn,
            fetch=lambda store, tenant, **paging: store.list_turns_by_tenant(tenant, **paging),
            other=lambda store, tenant, **paging: store.list_turns_by_tenant(tenant, agent_id=AGENT, **paging),
            has_offset=True,
        ),
        Listing(
            "list_events",
            add=_add_event,
            fetch=lambda store, tenant, **paging: store.list_events(tenant, **paging),
            other=lambda store, tenant, **paging: store.list_events(tenant, session_id=SESSION, **paging),
        ),
    )

    async def seed(self, store: AuditStore, tenant_id: UUID) -> UUID:
        """Store the world; what differs between tenants is the text."""
        for n in range(3):
            await store.save_turn(turn(n, tenant_id, user_message=f"{tenant_id} says {n}"))
            await store.save_event(event(n, tenant_id, event_data={"tenant": str(tenant_id)}))
        return SESSION

    async def snapshot(self, store: AuditStore, tenant_id: UUID) -> Any:
        """Return all turns and events."""
        turns = await store.list_turns_by_tenant(tenant_id, limit=1000)
        events = await store.list_events(tenant_id, limit=1000)
        return [row.model_dump(mode="json") for row in (*turns, *events)]

    async def save_turn(self, store: AuditStore, tenant: UUID, world: UUID) -> UUID:
        """Append a further turn."""
        return await store.save_turn(turn(7, tenant))

    async def save_turns(self, store: AuditStore, tenant: UUID, world: UUID) -> list[UUID]:
        """Append further turns."""
        return await store.save_turns([turn(7, tenant), turn(8, tenant)])

    async def get_turn(self, store: AuditStore, tenant: UUID | None, world: UUID) -> Any:
        """Read a seeded turn."""
        return await store.get_turn(turn(1).id, tenant_id=tenant)

    async def list_turns_by_session(self, store: AuditStore, tenant: UUID | None, world: UUID) -> Any:
        """List the seeded turns."""
        return await store.list_turns_by_session(world, tenant_id=tenant)

    async def list_turns_by_tenant(self, store: AuditStore, tenant: UUID, world: UUID) -> Any:
        """List the seeded turns."""
        return await store.list_turns_by_tenant(tenant)

    async def save_event(self, store: AuditStore, tenant: UUID, world: UUID) -> UUID:
        """Append a further event."""
        return await store.save_event(event(7, tenant))

    async def get_event(self, store: AuditStore, tenant: UUID | None, world: UUID) -> Any:
        """Read a seeded event."""
        return await store.get_event(event(1).id, tenant_id=tenant)

    async def list_events(self, store: AuditStore, tenant: UUID, world: UUID) -> Any:
        """List the seeded events."""
        return await store.list_events(tenant)

    async def purge(self, store: AuditStore, tenant: UUID, world: UUID) -> int:
        """Remove the seeded session."""
        return await store.purge(tenant, session_ids=[world])
