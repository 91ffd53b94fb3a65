"""One runnable example of every method of the sessions port."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, ClassVar
from uuid import UUID

from focal_core.clock import SystemClock
from focal_core.conversation.models import Channel, Session
from focal_core.conversation.store import SessionStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import CUSTOMER, SCENARIO, USER, copied, placed
from focal_testkit.scenarios import Listing, Scenarios, Stored

_CLOCK_FIELDS = frozenset({"created_at", "last_activity_at", "expires_at"})


async def _add(store: SessionStore, tenant: UUID, n: int) -> UUID:
    return (await store.save(placed(n, tenant))).session_id


async def _remove(store: SessionStore, tenant: UUID, row: Session) -> None:
    await store.delete(row.session_id, tenant_id=tenant)


def _list_by_agent(store: SessionStore, tenant: UUID, **paging: Any) -> Any:
    return store.list_by_agent(tenant, AGENT, **paging)


def _list_by_customer(store: SessionStore, tenant: UUID, **paging: Any) -> Any:
    return store.list_by_customer(tenant, CUSTOMER, **paging)


def _list_by_step(store: SessionStore, tenant: UUID, **paging: Any) -> Any:
    return store.list_by_step(tenant, SCENARIO, **paging)


class SessionScenarios(Scenarios):
    """Sessions 0 to 2 of one person, and one that is too old to be seen."""

    store_class = SessionStore
    creates = frozenset({"save", "put_copy"})
    all_tenants_when_omitted = frozenset({"cleanup_expired"})
    capability_calls: ClassVar = {
        "two_tier": ["promote_to_hot", "demote_to_persistent", "tier_of"],
        "session_copies": ["put_copy"],
    }
    stored = (
        Stored(
            Session,
            save=lambda store, one: store.save(one),
            get=lambda store, one: store.get(one.session_id, tenant_id=one.tenant_id),
            unset=_CLOCK_FIELDS | {"version"},
            clock=_CLOCK_FIELDS,
            repeatable=False,
        ),
    )
    listings = (
        Listing(
            "list_by_agent", add=_add, fetch=_list_by_agent, other=_list_by_customer, has_offset=True, remove=_remove
        ),
        Listing("list_by_customer", add=_add, fetch=_list_by_customer, other=_list_by_step, remove=_remove),
        Listing(
            "list_by_step",
            add=_add,
            fetch=_list_by_step,
            other=lambda store, tenant, **paging: store.list_by_step(tenant, SCENARIO, version=1, **paging),
            remove=_remove,
        ),
    )

    @classmethod
    def methods(cls) -> list[str]:
        """Return the abstract methods and those that have a default."""
        return sorted([*super().methods(), "version_of", *chain.from_iterable(cls.capability_calls.values())])

    async def seed(self, store: SessionStore, tenant_id: UUID) -> UUID:
        """Store the world; what differs between tenants is the metadata."""
        for n in range(3):
            await store.save(placed(n, tenant_id, metadata={"tenant": str(tenant_id)}))
        await store.save(placed(8, tenant_id, created_at=datetime.now(UTC) - timedelta(days=8)))
        return placed(1).session_id

    async def snapshot(self, store: SessionStore, tenant_id: UUID) -> Any:
        """Return all sessions with the agent."""
        return [row.model_dump(mode="json") for row in await store.list_by_agent(tenant_id, AGENT, limit=1000)]

    async def get(self, store: SessionStore, tenant: UUID | None, world: UUID) -> Any:
        """Read a seeded session."""
        return await store.get(world, tenant_id=tenant)

    async def get_by_channel(self, store: SessionStore, tenant: UUID, world: UUID) -> Any:
        """Find the person."""
        return await store.get_by_channel(tenant, Channel.WEBCHAT, USER)

    async def save(self, store: SessionStore, tenant: UUID, world: UUID) -> Any:
        """Begin a further session."""
        return await store.save(placed(7, tenant))

    async def delete(self, store: SessionStore, tenant: UUID | None, world: UUID) -> bool:
        """Remove a seeded session."""
        return await store.delete(world, tenant_id=tenant)

    async def list_by_agent(self, store: SessionStore, tenant: UUID, world: UUID) -> Any:
        """List the seeded sessions."""
        return await _list_by_agent(store, tenant)

    async def list_by_customer(self, store: SessionStore, tenant: UUID, world: UUID) -> Any:
        """List the seeded sessions."""
        return await _list_by_customer(store, tenant)

    async def list_by_step(self, store: SessionStore, tenant: UUID, world: UUID) -> Any:
        """List the seeded sessions."""
        return await _list_by_step(store, tenant)

    async def cleanup_expired(self, store: SessionStore, tenant: UUID | None, world: UUID) -> int:
        """Remove the session that is too old."""
        return await store.cleanup_expired(tenant_id=tenant)

    async def promote_to_hot(self, store: SessionStore, tenant: UUID | None, world: UUID) -> bool:
        """Promote a seeded session."""
        return await store.promote_to_hot(world, tenant_id=tenant)

    async def demote_to_persistent(self, store: SessionStore, tenant: UUID | None, world: UUID) -> bool:
        """Demote a seeded session."""
        return await store.demote_to_persistent(world, tenant_id=tenant)

    async def tier_of(self, store: SessionStore, tenant: UUID | None, world: UUID) -> Any:
        """Look where a seeded session is."""
        return await store.tier_of(world, tenant_id=tenant)

    async def version_of(self, store: SessionStore, tenant: UUID | None, world: UUID) -> Any:
        """Look at the version of a seeded session."""
        return await store.version_of(world, tenant_id=tenant)

    async def put_copy(self, store: SessionStore, tenant: UUID, world: UUID) -> bool:
        """Keep a copy of a session that is stored elsewhere."""
        return await store.put_copy(copied(SystemClock(), 7, tenant))
