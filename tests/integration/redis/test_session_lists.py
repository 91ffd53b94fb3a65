"""What lies in Redis: indexes that stay bounded, copies that are compressed, nothing left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.redis.support import AgeingClock, open_client

from focal_core.clock import ManualClock
from focal_core.context import BackendContext, Isolation
from focal_core.conversation.channels import channel_digest
from focal_core.conversation.models import Session, SessionStatus, Tier
from focal_core.conversation.policy import SessionPolicy
from focal_core.errors import SchemaOutdatedError, StoreError
from focal_redis import frame, keys
from focal_redis.conversation import RedisSessionStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import CUSTOMER, OTHER_AGENT, OTHER_CUSTOMER, SCENARIO, placed, session
from focal_testkit.scenarios import OURS, THEIRS
from focal_testkit.servers.redis import RedisServer

IDLE = 600
POLICY = SessionPolicy(hot_ttl_seconds=60, idle_ttl_seconds=IDLE, max_session_age_seconds=3_600)
BASE = b"{%s}:session:" % str(OURS).encode()


@pytest.fixture
def clock(redis_server: RedisServer, redis_prefix: str) -> AgeingClock:
    return AgeingClock((redis_server, redis_prefix))


@pytest.fixture
def context(clock: AgeingClock) -> BackendContext:
    return BackendContext(clock=clock, session_policy=POLICY)


@pytest_asyncio.fixture
async def store(
    redis_server: RedisServer, redis_prefix: str, context: BackendContext
) -> AsyncIterator[RedisSessionStore]:
    async with open_client(redis_server.url, context, key_prefix=redis_prefix) as client:
        yield RedisSessionStore(client, context)
    redis_server.forget(redis_prefix)


class Seen:
    """The keys of the tenant, as the server has them."""

    def __init__(self, server: Any, prefix: str) -> None:
        self.server = server
        self.base = prefix.encode() + b":" + BASE

    def names(self) -> set[str]:
        return {name.removeprefix(self.base).decode() for name in self.server.keys(self.base + b"*")}

    def members(self, index: bytes) -> int:
        return int(self.server.zcard(index))

    def persist(self, one: Session) -> bytes:
        return self.base + b"persist:" + str(one.session_id).encode()


@pytest.fixture
def seen(redis_server: RedisServer, redis_prefix: str) -> Iterator[Seen]:
    with redis_server.client() as client:
        yield Seen(client, redis_prefix)


pytestmark = pytest.mark.asyncio


async def test_a_session_leaves_the_indexes_it_moves_out_of(store: RedisSessionStore, seen: Seen) -> None:
    """A change of customer, scenario or channel takes the entry of the time before out in the same step."""
    one = placed()
    await store.save(one)
    before = seen.names()
    one.customer_profile_id, one.user_channel_id = OTHER_CUSTOMER, "elsewhere"
    one.active_scenario_version = one.current_step_id = one.active_scenario_id = None
    await store.save(one)

    left = {name for name in before if name.startswith("index:")} & seen.names()
    assert left == {f"index:agent:{AGENT}"}
    one.status = SessionStatus.CLOSED
    await store.save(one)
    assert {name.split(":")[1] for name in seen.names() if name.startswith("index:")} == {"agent", "customer"}


async def test_nothing_is_left_of_a_deleted_session(store: RedisSessionStore, seen: Seen) -> None:
    """Deleting the only session, hot, demoted or closed, leaves no key of its tenant."""
    for status in (SessionStatus.ACTIVE, SessionStatus.CLOSED):
        for demoted in (False, True):
            one = placed(status=status, metadata={"text": "x" * 5_000})
            await store.save(one)
            if demoted:
                await store.demote_to_persistent(one.session_id, tenant_id=OURS)
            assert await store.delete(one.session_id, tenant_id=OURS)
            assert seen.names() == set()


async def test_lists_take_the_dead_out(store: RedisSessionStore, seen: Seen, clock: AgeingClock) -> None:
    """A list that meets sessions the server has dropped takes them out of its index, thousands of them too."""
    agent, customer = keys.agent_index(seen.base, AGENT), keys.customer_index(seen.base, CUSTOMER)
    for n in range(3):
        await store.save(placed(n))
    dead = {f"00000000-0000-0000-0000-{n:012}": -float(n) for n in range(2_500)}
    newest = min(seen.server.zrange(agent, 0, -1, withscores=True), key=lambda entry: entry[1])[1]
    seen.server.zadd(agent, {id: newest + score - 1 for id, score in dead.items()})

    page = await store.list_by_agent(OURS, AGENT, limit=2)

    assert [row.session_id for row in page] == [placed(0).session_id, placed(1).session_id]
    assert seen.members(agent) == 3
    assert seen.members(customer) == 3
    rest = await store.list_by_agent(OURS, AGENT, limit=2, after=page.next_cursor)
    assert [row.session_id for row in rest] == [placed(2).session_id]


async def test_an_id_begun_anew_elsewhere_is_not_listed_where_it_was(
    store: RedisSessionStore, seen: Seen, clock: AgeingClock
) -> None:
    """An id that expired with one agent, customer, scenario and channel, and began anew with others, is theirs only."""
    old = placed()
    await store.save(old)
    clock.advance(seconds=IDLE)
    anew = session(
        agent_id=OTHER_AGENT, customer_profile_id=OTHER_CUSTOMER, user_channel_id="elsewhere", session_id=old.session_id
    )
    await store.save(anew)

    assert await store.list_by_agent(OURS, AGENT) == []
    assert await store.list_by_customer(OURS, CUSTOMER) == []
    assert await store.list_by_step(OURS, SCENARIO) == []
    assert await store.get_by_channel(OURS, old.channel, old.user_channel_id) is None
    assert await store.list_by_agent(OURS, OTHER_AGENT) == await store.list_by_customer(OURS, OTHER_CUSTOMER) == [anew]
    assert {name.split(":")[2] for name in seen.names() if name.startswith("index:")} == {
        str(OTHER_AGENT),
        str(OTHER_CUSTOMER),
        channel_digest(anew.channel, "elsewhere").hex(),
    }


async def test_an_index_is_bounded_without_lists_and_cleanups(
    store: RedisSessionStore, seen: Seen, clock: AgeingClock
) -> None:
    """An index that nobody reads holds no more than the sessions of one idle time."""
    for n in range(60):
        await store.save(placed(n))
        clock.advance(seconds=IDLE / 10)

    index = keys.agent_index(seen.base, AGENT)
    assert seen.members(index) == 10
    clock.advance(seconds=POLICY.max_session_age_seconds)
    assert {name for name in seen.names() if name.startswith("index:")} == set()


async def test_an_index_outlives_its_sessions(
    redis_server: RedisServer, redis_prefix: str, context: BackendContext, clock: AgeingClock, seen: Seen
) -> None:
    """Neither a shorter life of later sessions nor a beginning in the future ends an index before its sessions."""
    long = replace(context, session_policy=SessionPolicy(60, 86_400, 86_400))
    async with (
        open_client(redis_server.url, context, key_prefix=redis_prefix) as one,
        open_client(redis_server.url, long, key_prefix=redis_prefix) as other,
    ):
        brief, lasting = RedisSessionStore(one, context), RedisSessionStore(other, long)
        await lasting.save(placed(1))
        await brief.save(placed(2, created_at=clock.now() + timedelta(seconds=3_000)))
        for _ in range(11):
            clock.advance(seconds=IDLE - 1)
            row = await brief.get(placed(2).session_id, tenant_id=OURS)
            assert row is not None
            await brief.save(row)
        clock.advance(seconds=IDLE)

        assert [row.session_id for row in await brief.list_by_agent(OURS, AGENT)] == [placed(1).session_id]
        assert seen.members(keys.agent_index(seen.base, AGENT)) == 1
    redis_server.forget(redis_prefix)


async def test_large_sessions_are_listed_in_several_steps(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of more bytes than one step returns is whole all the same, also with an offset and from a cursor."""
    for n in range(24):
        await store.save(placed(n, metadata={"text": "x" * 100_000}))
    steps, run = list[int](), store.client.run

    async def counted(*args: Any, **options: Any) -> Any:
        reply = await run(*args, **options)
        steps.append(sum(map(len, reply[4::2])))
        return reply

    monkeypatch.setattr(store.client, "run", counted)

    whole = await store.list_by_agent(OURS, AGENT, limit=24)
    assert [row.session_id for row in whole] == [placed(n).session_id for n in range(24)]
    assert whole.next_cursor is None
    assert len(steps) == 3
    assert max(steps) < 1_200_000
    page = await store.list_by_agent(OURS, AGENT, limit=20, offset=2)
    assert [row.session_id for row in page] == [placed(n).session_id for n in range(2, 22)]
    rest = await store.list_by_agent(OURS, AGENT, limit=20, after=page.next_cursor)
    assert [row.session_id for row in rest] == [placed(n).session_id for n in (22, 23)]


async def test_demotion_compresses_and_loses_nothing(store: RedisSessionStore, seen: Seen) -> None:
    """A demoted session takes less room, keeps its time to live, and is read, promoted and saved as before."""
    one = placed(metadata={"text": "focal " * 2_000})
    await store.save(one)
    before, ends = seen.server.strlen(seen.persist(one)), seen.server.pttl(seen.persist(one))

    for _ in range(2):
        assert await store.demote_to_persistent(one.session_id, tenant_id=OURS)
    assert seen.server.strlen(seen.persist(one)) < before / 4
    assert ends - 5_000 < seen.server.pttl(seen.persist(one)) <= ends
    assert await store.get(one.session_id, tenant_id=OURS, promote=False) == one
    assert await store.list_by_agent(OURS, AGENT) == [one]
    assert await store.get(one.session_id, tenant_id=OURS) == one
    assert await store.tier_of(one.session_id, tenant_id=OURS) is Tier.HOT
    one.turn_count = 1
    await store.save(one)
    assert await store.get(one.session_id, tenant_id=OURS) == one


async def test_a_lasting_tier_of_its_own_is_compressed(
    redis_server: RedisServer, redis_prefix: str, context: BackendContext, seen: Seen
) -> None:
    """Without a hot tier there is one key per session, compressed from the first save on."""
    one = placed(metadata={"text": "focal " * 2_000})
    async with open_client(redis_server.url, context, key_prefix=redis_prefix) as client:
        store = RedisSessionStore(client, context, hot_tier=False)
        await store.save(one)

        assert seen.server.strlen(seen.persist(one)) < 2_000
        assert not [name for name in seen.names() if name.startswith("hot:")]
        assert await store.get(one.session_id, tenant_id=OURS) == one
        assert await store.get_by_channel(OURS, one.channel, one.user_channel_id) == one
        assert not [name for name in seen.names() if name.startswith("hot:")]
    redis_server.forget(redis_prefix)


async def test_erasing_leaves_no_key_of_the_tenant_and_all_of_others(
    store: RedisSessionStore, seen: Seen, redis_prefix: str
) -> None:
    """Copies, indexes, hot and lasting sessions go; a neighbour's, and other keys of the tenant, stay."""
    for n in range(3):
        await store.save(placed(n))
        await store.save(placed(n, THEIRS))
    await store.put_copy(placed(7, version=3, expires_at=store.context.clock.now() + timedelta(hours=1)))
    other = f"{redis_prefix}:{{{OURS}}}:profile:body:1".encode()
    seen.server.set(other, "x")

    assert await store.erase_tenant(OURS) == 3

    assert seen.names() == set()
    assert seen.server.exists(other) == 1
    assert len(await store.list_by_agent(THEIRS, AGENT)) == 3


async def test_the_register_forgets_a_tenant_without_sessions(
    store: RedisSessionStore, seen: Seen, clock: AgeingClock, redis_prefix: str
) -> None:
    """A cleanup takes a tenant off the register when its last session is long gone, and not while it may save."""
    await store.save(placed())
    await store.save(placed(tenant=THEIRS))
    await store.delete(placed().session_id, tenant_id=OURS)
    register = f"{redis_prefix}:tenants"

    assert await store.list_tenants() == [THEIRS]
    await store.cleanup_expired()
    assert seen.server.zcard(register) == 2
    clock.advance(seconds=POLICY.max_session_age_seconds + 1)
    assert await store.cleanup_expired() == 1
    assert seen.server.zcard(register) == 0
    await store.save(placed())
    assert await store.list_tenants() == [OURS]


async def test_owners_of_an_id_are_kept_under_trusting_isolation_only(
    redis_server: RedisServer, redis_prefix: str, context: BackendContext, seen: Seen
) -> None:
    """Only a store that may be asked without a tenant notes whose an id is, for as long as the session may live."""
    async with open_client(redis_server.url, context, key_prefix=redis_prefix) as client:
        await RedisSessionStore(client, context).save(placed(1))
        await RedisSessionStore(client, replace(context, isolation=Isolation.TRUSTING)).save(placed(2))
    owners = keys.Keys(redis_prefix).owners
    assert seen.server.exists(owners(placed(1).session_id)) == 0
    assert seen.server.smembers(owners(placed(2).session_id)) == {str(OURS).encode()}
    assert 0 < seen.server.pttl(owners(placed(2).session_id)) <= POLICY.max_session_age_seconds * 1000
    redis_server.forget(redis_prefix)


@pytest.mark.parametrize(
    ("broken", "error", "code"),
    [
        (lambda text: text[:40], StoreError, "corrupt_record"),
        (lambda text: text[: frame.SIZE] + b"{", StoreError, "corrupt_record"),
        (lambda text: text[: frame.SIZE] + b"{}", StoreError, "corrupt_record"),
        (lambda text: text[:2] + b"\x01" + text[3:], StoreError, "corrupt_record"),
        (lambda text: text[:3] + b"\x09" + text[4:], StoreError, "corrupt_record"),
        (lambda text: text[:52] + b"\x7f" * 8 + text[60:], StoreError, "corrupt_record"),
        (lambda text: b"\x02" + text[1:], SchemaOutdatedError, "schema_outdated"),
        (lambda text: text[:1] + b"\x02" + text[2:], SchemaOutdatedError, "schema_outdated"),
    ],
    ids=["cut", "no json", "no session", "not zlib", "status", "time", "newer format", "newer schema"],
)
async def test_what_cannot_be_read_is_told(
    store: RedisSessionStore, seen: Seen, broken: Any, error: type[Exception], code: str
) -> None:
    """A damaged record, or one of a newer release, is an error with a code, never an absent session."""
    one = placed()
    await store.save(one)
    await store.demote_to_persistent(one.session_id, tenant_id=OURS)
    seen.server.set(seen.persist(one), broken(seen.server.get(seen.persist(one))))

    with pytest.raises(error) as refused:
        await store.get(one.session_id, tenant_id=OURS, promote=False)

    assert refused.value.code == code  # type: ignore[attr-defined]


async def test_sessions_end_by_the_header_where_the_server_is_late(
    redis_server: RedisServer, redis_prefix: str, context: BackendContext, seen: Seen
) -> None:
    """A session whose time is up is absent everywhere although the server still holds both of its copies."""
    clock = ManualClock()
    unaged = replace(context, clock=clock)
    async with open_client(redis_server.url, unaged, key_prefix=redis_prefix) as client:
        store, one = RedisSessionStore(client, unaged), placed()
        await store.save(one)
        clock.advance(seconds=IDLE)

        assert await store.get(one.session_id, tenant_id=OURS) is None
        assert await store.get(one.session_id, tenant_id=OURS, promote=False) is None
        assert await store.version_of(one.session_id, tenant_id=OURS) is None
        assert await store.tier_of(one.session_id, tenant_id=OURS) is None
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is False
        assert await store.demote_to_persistent(one.session_id, tenant_id=OURS) is False
        assert await store.delete(one.session_id, tenant_id=OURS) is False
        assert await store.list_by_agent(OURS, AGENT) == []
        assert seen.server.exists(seen.persist(one)) == 1
        assert await store.cleanup_expired() == 1
        assert seen.names() == set()
    redis_server.forget(redis_prefix)
