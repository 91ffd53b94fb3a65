"""What the fault tests share: the methods of the sessions port, seeded tenants, what is stored, what a call did."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from tests.integration.calls import SHORT
from tests.integration.judging import served
from tests.integration.redis.support import open_client

from focal_core.clock import Clock, ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.errors import StaleVersionError
from focal_redis import frame
from focal_redis.client import RedisClient
from focal_redis.conversation import RedisSessionStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import CUSTOMER, SCENARIO, USER, placed
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.redis import RedisFraming
from focal_testkit.faults.triggers import Message
from focal_testkit.servers.redis import RedisServer

LOGIN = frozenset({"AUTH", "HELLO", "CLIENT", "SELECT"})
"""Commands of a new connection, which belong to no call."""
FIRST, SECOND = placed(0).session_id, placed(1).session_id

Call = Callable[[Any, UUID], Awaitable[Any]]


def at_work(message: Message) -> bool:
    """Return whether a message is a command of a call, not of a login."""
    return message.kind not in LOGIN


@dataclass(frozen=True)
class Method:
    """A call of a method of the port on a seeded tenant.

    Attributes:
        name: the method, and how it is called.
        call: ``(store, tenant)``.
        reads: whether it only reads.
        demoted: whether the second session has left the hot tier before.
        calls: how many calls of the store it makes, each with a deadline of its own.
    """

    name: str
    call: Call
    reads: bool
    demoted: bool = False
    calls: int = 1

    def __str__(self) -> str:
        return self.name


async def _save_again(store: Any, tenant: UUID) -> Any:
    """Save a session that was loaded: a compare-and-swap that succeeds."""
    session = await store.get(SECOND, tenant_id=tenant, promote=False)
    session.turn_count += 1
    return await store.save(session)


async def _save_moved(store: Any, tenant: UUID) -> Any:
    """Save a session that belongs to another customer, channel and scenario from now on."""
    session = await store.get(SECOND, tenant_id=tenant, promote=False)
    session.customer_profile_id = session.active_scenario_id = uuid4_like(7)
    session.user_channel_id = "somebody else"
    return await store.save(session)


async def _save_stale(store: Any, tenant: UUID) -> Any:
    try:
        return await store.save(placed(0, tenant))
    except StaleVersionError:
        return "stale"


def uuid4_like(n: int) -> UUID:
    """Return a fixed id."""
    return UUID(int=(0x0190C000_0000_4000_8000 << 48) | n)


READS = [
    Method("get", lambda store, tenant: store.get(SECOND, tenant_id=tenant), True),
    Method("get, demoted", lambda store, tenant: store.get(SECOND, tenant_id=tenant), True, demoted=True),
    Method("get, no promotion", lambda store, tenant: store.get(SECOND, tenant_id=tenant, promote=False), True),
    Method(
        "get, demoted, no promotion",
        lambda store, tenant: store.get(SECOND, tenant_id=tenant, promote=False),
        True,
        demoted=True,
    ),
    Method("get, absent", lambda store, tenant: store.get(uuid4_like(1), tenant_id=tenant), True),
    Method("get_by_channel", lambda store, tenant: store.get_by_channel(tenant, Channel.WEBCHAT, USER), True),
    Method("list_by_agent", lambda store, tenant: store.list_by_agent(tenant, AGENT), True),
    Method("list_by_customer", lambda store, tenant: store.list_by_customer(tenant, CUSTOMER), True),
    Method("list_by_step", lambda store, tenant: store.list_by_step(tenant, SCENARIO), True),
    Method("tier_of", lambda store, tenant: store.tier_of(SECOND, tenant_id=tenant), True),
    Method("version_of", lambda store, tenant: store.version_of(SECOND, tenant_id=tenant), True),
]
WRITES = [
    Method("save", lambda store, tenant: store.save(placed(7, tenant)), False),
    Method("save, again", _save_again, False, calls=2),
    Method("save, again, demoted", _save_again, False, demoted=True, calls=2),
    Method("save, moved", _save_moved, False, calls=2),
    Method("save, by force", lambda store, tenant: store.save(placed(1, tenant), force=True), False),
    Method("save, stale", _save_stale, False),
    Method("delete", lambda store, tenant: store.delete(SECOND, tenant_id=tenant), False),
    Method("delete, demoted", lambda store, tenant: store.delete(SECOND, tenant_id=tenant), False, demoted=True),
    Method("promote_to_hot", lambda store, tenant: store.promote_to_hot(SECOND, tenant_id=tenant), False, demoted=True),
    Method("demote_to_persistent", lambda store, tenant: store.demote_to_persistent(SECOND, tenant_id=tenant), False),
    Method("cleanup_expired", lambda store, tenant: store.cleanup_expired(tenant_id=tenant), False),
    Method("erase_tenant", lambda store, tenant: store.erase_tenant(tenant), False),
]
METHODS = [*READS, *WRITES]
BY_NAME = {method.name: method for method in METHODS}

_DUMP = """
local found = {}
for _, name in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind, value = redis.call('TYPE', name).ok, false
  if kind == 'string' then value = redis.call('GET', name)
  elseif kind == 'zset' then value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', name) end
  found[#found + 1] = {name, kind, value, redis.call('PTTL', name) >= 0 and 1 or 0}
end
return found
"""
_FORGET = "for _, name in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', name) end"


@dataclass
class Worlds:
    """Seeded tenants on one server, over a connection that no fault touches.

    Attributes:
        server: the server.
        prefix: of every key.
        clock: of every store.
        direct: the store behind that connection.
    """

    server: RedisServer
    prefix: str
    clock: ManualClock
    direct: Any

    async def tenant(self, method: Method | None = None) -> UUID:
        """Return a new tenant with the seeded sessions, as a method wants them."""
        tenant = uuid4()
        for n in range(3):
            await self.direct.save(placed(n, tenant, metadata={"tenant": str(tenant)}))
        # One that is too old to be seen, for what cleans up.
        await self.direct.save(placed(8, tenant, created_at=self.clock.now() - timedelta(days=8)))
        if method is not None and method.demoted:
            assert await self.direct.demote_to_persistent(SECOND, tenant_id=tenant)
        return tenant

    async def stored(self, tenant: UUID) -> str:
        """Return what is stored of a tenant, in words that equal worlds of tenants share."""
        rows: Any = await self._each(_DUMP, tenant)
        found = [(name.decode(), kind.decode(), _in_words(value), bool(lives)) for name, kind, value, lives in rows]
        return "\n".join(map(str, sorted(found))).replace(str(tenant), "")

    async def forget(self, tenant: UUID) -> None:
        """Remove what is stored of a tenant, so that looking at others stays cheap."""
        await self._each(_FORGET, tenant)

    async def _each(self, script: str, tenant: UUID) -> Any:
        """Run a script on the keys of a tenant, without keeping the loop from serving others."""
        return await self.direct.client.call("test", "EVAL", script, 0, f"{self.prefix}:{{{tenant}}}*", key=b"")


def _in_words(value: Any) -> str:
    """Return a value without what is drawn or hashed anew by each call."""
    if not isinstance(value, bytes) or len(value) <= frame.SIZE:
        return repr(value)
    head = frame.head_of(value)._replace(write_token=b"", digest=b"")
    is_packed, body = bool(value[2] & frame.PACKED), value[frame.SIZE :]
    text = zlib.decompress(body) if is_packed else body
    return f"{head} {value[frame.AGENT[0] - 1 : frame.SIZE]!r} {is_packed} {text!r}"


@asynccontextmanager
async def open_worlds(server: RedisServer, prefix: str) -> AsyncIterator[Worlds]:
    """Yield what makes seeded tenants under a prefix."""
    clock = ManualClock()
    async with open_client(server.url, BackendContext(clock=clock), key_prefix=prefix) as client:
        yield Worlds(server, prefix, clock, RedisSessionStore(client, client.context))


@dataclass
class Lane:
    """A client behind a proxy of its own, which makes one call after the other.

    Attributes:
        proxy: in front of the server.
        client: behind the proxy.
        store: on the client.
    """

    proxy: FaultProxy
    client: RedisClient
    store: Any = field(init=False)

    def __post_init__(self) -> None:
        self.store = RedisSessionStore(self.client, self.client.context)

    async def steps(self, method: Method, tenant: UUID) -> tuple[int, Any]:
        """Return how many commands a call without faults sends, and its answer."""
        counting = self.proxy.before(at_work, _never, nth=10**9)
        answer = await method.call(self.store, tenant)
        self.proxy.remove(counting)
        return counting.matched, answer

    async def probe(self) -> None:
        """Make a call that needs one connection."""
        await self.client.call("probe", "PING", key=b"probe")


async def _never(connection: object) -> None:
    raise AssertionError("a trigger that only counts has fired")


@asynccontextmanager
async def open_lane(
    worlds: Worlds, deadline: float = SHORT, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy of its own; options as of RedisOptions."""
    given = {
        "key_prefix": worlds.prefix,
        "deadline": deadline,
        "acquire_timeout": deadline,
        "connect_timeout": deadline,
        "pool_size": 2,
        **options,
    }
    context, parts = BackendContext(clock=clock or worlds.clock), urlsplit(worlds.server.url)
    async with (
        FaultProxy(parts.hostname or "127.0.0.1", parts.port or 6379, framing=RedisFraming) as proxy,
        AsyncExitStack() as stack,
    ):
        url = proxy.url(worlds.server.url)
        client = await served(lambda: stack.enter_async_context(open_client(url, context, **given)))
        yield Lane(proxy, client)
