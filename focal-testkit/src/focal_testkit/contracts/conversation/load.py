"""Many operations at once."""

from __future__ import annotations

import asyncio
from uuid import UUID

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.conversation.store import SessionStore
from focal_core.errors import StaleVersionError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed, session
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class LoadContract(ContractBase):
    """Concurrency of the whole port."""

    @requirement("SESSIONS-070", since="1.0")
    async def test_1000_concurrent_operations(self, store: SessionStore) -> None:
        """A thousand operations at once, on as many sessions, all succeed, and each has its effect.

        If this fails: a pool, a lock or a shared buffer gives up under load.
        """
        count = 250
        for n in range(0, count):
            await store.save(placed(n, user_channel_id=f"user {n}", variables={"n": n}))

        async def update(n: int) -> bool:
            one = await store.get(placed(n).session_id, tenant_id=OURS)
            assert one is not None
            one.variables["n"] += 1000
            return (await store.save(one)).version == 2

        async def begin(n: int) -> bool:
            return (await store.save(placed(count + n, user_channel_id=f"user {count + n}"))).version == 1

        async def find(n: int) -> bool:
            one = placed(n)
            found = await store.get_by_channel(OURS, one.channel, f"user {n}")
            return found is not None and found.session_id == one.session_id

        async def page(n: int) -> bool:
            return len(await store.list_by_agent(OURS, AGENT, limit=5, offset=n % 100)) == 5

        done = await asyncio.gather(*(operation(n) for n in range(count) for operation in (update, begin, find, page)))

        assert len(done) == 1000
        assert all(done)
        rows = await store.list_by_agent(OURS, AGENT, limit=1000)
        assert len(rows) == 2 * count
        assert sum(row.variables.get("n", 0) - 1000 for row in rows if row.variables) == sum(range(count))

    @requirement("SESSIONS-071", since="1.0")
    async def test_each_is_judged_by_itself(
        self, store: SessionStore, clock: ManualClock, context: BackendContext
    ) -> None:
        """Of sessions read or saved at once the expired ones are absent and the stale ones refused, and no others.

        If this fails: calls that share a statement or a buffer are not each held to tenant, version and expiry.
        """
        expired, stale, present = range(0, 8), range(8, 16), range(16, 24)
        loaded = [session(n) for n in range(24)]
        for one in loaded[:8]:
            await store.save(one)
        clock.advance(seconds=context.session_policy.idle_ttl_seconds)
        for one in loaded[8:]:
            await store.save(one)
        for n in (*stale, *present):
            await store.save(session(n, tenant=THEIRS))
        for n in stale:
            await store.save(loaded[n].model_copy(deep=True))

        async def read(tenant: UUID) -> list[int | None]:
            found = await asyncio.gather(*(store.get(one.session_id, tenant_id=tenant) for one in loaded))
            return [None if one is None else one.version for one in found]

        assert await read(OURS) == [None] * 8 + [2] * 8 + [1] * 8
        assert await read(THEIRS) == [None] * 8 + [1] * 16
        for one in loaded:
            one.variables["late"] = True

        results = await asyncio.gather(*(store.save(one) for one in loaded), return_exceptions=True)

        for n in (*expired, *stale):
            assert isinstance(results[n], StaleVersionError)
        assert all(isinstance(results[n], Session) for n in present)
        assert await read(OURS) == [None] * 8 + [2] * 16
        assert await read(THEIRS) == [None] * 8 + [1] * 16
