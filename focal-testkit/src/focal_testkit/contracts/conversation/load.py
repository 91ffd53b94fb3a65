"""Many operations at once."""

from __future__ import annotations

import asyncio

from focal_core.conversation.store import SessionStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS


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
