"""Sessions and profiles as focal keeps them in Redis, and as others would with redis-py."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.errors import StaleVersionError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile
from focal_redis.backend import RedisBackend
from focal_redis.settings import RedisOptions

POOL = 16
HOT, LASTING = 1_800, 604_800
LIVES = {"profile": 300, "field_definitions": 3_600, "scenario_requirements": 3_600}
"""Seconds."""


class System(ABC):
    """What is compared: loading and saving a session, and reading a cached profile, however they are done."""

    name: str

    @abstractmethod
    async def load(self, tenant: UUID, session_id: UUID) -> Session:
        """Return a session."""

    @abstractmethod
    async def save(self, session: Session) -> None:
        """Store a session; its version rises by one."""

    @abstractmethod
    async def keep(self, profile: CustomerProfile) -> None:
        """Store a profile that is to be read."""

    @abstractmethod
    async def profile(self, tenant: UUID, profile_id: UUID) -> CustomerProfile:
        """Return a profile; Redis has it from the second time on."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


class Focal(System):
    """The store of the backend, as an application has it: compare-and-swap, two tiers, indexes."""

    name = "focal"

    @classmethod
    async def open(cls, url: str, prefix: str, **options: Any) -> Focal:
        """Return it, connected; options as of RedisOptions."""
        self = cls()
        given = {"url": url, "key_prefix": prefix, "pool_size": POOL, **options}
        self.backend = RedisBackend(RedisOptions.model_validate(given), BackendContext())
        await self.backend.open()
        self.sessions = self.backend.port("sessions")
        self.profiles = InMemoryProfileStore(self.backend.context)
        self.cache = self.backend.cached("profiles", self.profiles, LIVES)
        return self

    async def load(self, tenant: UUID, session_id: UUID) -> Session:  # noqa: D102
        session = await self.sessions.get(session_id, tenant_id=tenant)
        assert session is not None
        return session

    async def save(self, session: Session) -> None:  # noqa: D102
        await self.sessions.save(session)

    async def keep(self, profile: CustomerProfile) -> None:  # noqa: D102
        await self.profiles.save(profile)

    async def profile(self, tenant: UUID, profile_id: UUID) -> CustomerProfile:  # noqa: D102
        profile = await self.cache.get_by_id(tenant, profile_id)
        assert profile is not None
        return profile

    async def save_stale(self, session: Session) -> None:
        """Save a session of another version than the stored one."""
        try:
            await self.sessions.save(session)
        except StaleVersionError:
            return
        raise RuntimeError("a stale session was saved")

    async def close(self) -> None:  # noqa: D102
        await self.backend.close()


class _ByHand(System):
    """redis-py: its plain pool behind a semaphore, which serves in order; alone the pool would refuse callers."""

    @classmethod
    async def open(cls, url: str, prefix: str) -> Any:
        """Return it, connected."""
        self = cls()
        self.prefix = prefix
        self._turn = asyncio.Semaphore(POOL)
        # Without these four lines it would also try again ten times, writes included, and ask more at every connect.
        pool = ConnectionPool.from_url(
            url, max_connections=POOL, retry=Retry(NoBackoff(), 0), protocol=2, driver_info=None
        )
        self.redis: Redis = Redis(connection_pool=pool)
        await asyncio.gather(*[self.redis.execute_command("PING") for _ in range(POOL)])
        return self

    def key(self, kind: str, id: UUID) -> str:
        """Return a key."""
        return f"{self.prefix}:session:{kind}:{id}"

    async def load(self, tenant: UUID, session_id: UUID) -> Session:
        async with self._turn:
            data = await self.redis.get(self.key("hot", session_id))
        return Session.model_validate_json(data)

    async def keep(self, profile: CustomerProfile) -> None:
        await self.redis.set(self.key("profile", profile.id), profile.model_dump_json())

    async def profile(self, tenant: UUID, profile_id: UUID) -> CustomerProfile:
        async with self._turn:
            data = await self.redis.get(self.key("profile", profile_id))
        return CustomerProfile.model_validate_json(data)

    def encoded(self, session: Session) -> str:
        """Return the JSON of a session with the next version."""
        session.set_stored(version=session.version + 1)
        return session.model_dump_json()

    async def close(self) -> None:
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()


class Bare(_ByHand):
    """One key: GET, and SET whatever is stored."""

    name = "bare redis-py"

    async def save(self, session: Session) -> None:  # noqa: D102
        data = self.encoded(session)
        async with self._turn:
            await self.redis.set(self.key("hot", session.session_id), data)


class Seed(_ByHand):
    """The keys of the source documents: two payloads, three indexes, in MULTI; whatever is stored."""

    name = "seed's writes, redis-py"

    async def save(self, session: Session) -> None:  # noqa: D102
        data, id = self.encoded(session), str(session.session_id)
        indexes = f"{self.prefix}:session:index"
        agent = f"{indexes}:agent:{session.tenant_id}:{session.agent_id}"
        customer = f"{indexes}:customer:{session.tenant_id}:{session.customer_profile_id}"
        channel = f"{indexes}:channel:{session.tenant_id}:{session.channel.value}:{session.user_channel_id}"
        async with self._turn, self.redis.pipeline(transaction=True) as pipeline:
            pipeline.setex(self.key("hot", session.session_id), HOT, data)
            pipeline.setex(self.key("persist", session.session_id), LASTING, data)
            pipeline.sadd(agent, id)
            pipeline.expire(agent, LASTING)
            pipeline.sadd(customer, id)
            pipeline.expire(customer, LASTING)
            pipeline.setex(channel, LASTING, id)
            await pipeline.execute()
