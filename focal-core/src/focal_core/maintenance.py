"""Work an open ``Focal`` does by itself; idempotent, so that any number of processes may do it at once."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from focal_core.profile.store import ProfileStore

logger = logging.getLogger("focal.maintenance")


async def expire_profiles(profiles: ProfileStore) -> int:
    """Mark the fields past their time of every tenant, and return how many were marked."""
    marked, after = 0, None
    while True:
        tenants = await profiles.list_tenants(after=after)
        for tenant_id in tenants:
            marked += await profiles.expire_stale_fields(tenant_id)
        after = tenants.next_cursor
        if after is None:
            return marked


async def keep_expiring(profiles: ProfileStore, interval_seconds: float) -> None:
    """Run ``expire_profiles`` again and again until cancelled; a failing round is logged and the next one tries.

    Args:
        profiles: the store.
        interval_seconds: pause between rounds; spread by a tenth, so that processes started together drift apart.
    """
    while True:
        await asyncio.sleep(interval_seconds * random.uniform(0.9, 1.1))
        try:
            await expire_profiles(profiles)
        except Exception as error:
            logger.warning("expiring profile fields failed, to be tried again: %s", type(error).__name__)
