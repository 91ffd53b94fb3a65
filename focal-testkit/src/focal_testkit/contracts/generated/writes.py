"""Writes: repeatable, whole or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.generated.copies import content
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, Stored


class WriteChecks(ContractBase):
    """Rule 6: atomic per call, visible to the next read, idempotent."""

    @requirement("STORE-030", since="1.0")
    async def test_idempotent_retry(self, store: Any, repeatable: Stored) -> None:
        """Saving the same object again succeeds and changes nothing.

        If this fails: a retry after a lost reply is refused or makes a second row.
        """
        made = repeatable.make(OURS)
        await repeatable.ready(store, made)
        first = await repeatable.save(store, made)
        once = await self.scenarios.snapshot(store, OURS)

        again = await repeatable.save(store, made)

        assert again == first
        assert await self.scenarios.snapshot(store, OURS) == once
        assert content(await repeatable.get(store, made), repeatable) == content(made, repeatable)

    @requirement("STORE-031", since="1.0")
    async def test_cancelled_write_is_atomic(self, store: Any, stored: Stored) -> None:
        """A cancelled write is there as a whole or not at all, and the store goes on working.

        If this fails: the write is several steps that a cancellation can separate.
        """
        for seed in range(5):
            made = stored.make(OURS, seed=seed)
            await stored.ready(store, made)
            expected = content(made, stored)
            task = asyncio.ensure_future(stored.save(store, made))
            for _ in range(seed):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            found = await stored.get(store, made)

            assert found is None or content(found, stored) == expected
