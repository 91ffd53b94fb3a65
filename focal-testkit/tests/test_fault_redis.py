"""The framing of Redis' protocol, by hand-made bytes and in front of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from focal_testkit.faults.cancel import cancel_storm
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.redis import RedisFraming, command
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.faults.triggers import Action, eof, mute_down, reset, stall, torn
from focal_testkit.servers.redis import RedisServer

if TYPE_CHECKING:
    from redis.asyncio import Redis

SOON = 10.0
SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]); return {1, {ARGV[1], {}}, false}"


def words(*arguments: str) -> bytes:
    parts = [argument.encode() for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_bytes_cut_anywhere_give_the_same_messages(size: int) -> None:
    """Neither side's bytes are lost, added or reordered, however they arrive."""
    up = words("get", "a\r\n*2") + words("EVALSHA", "abc", "1", "ü", "") + b"PING now\r\n" + words("MULTI")
    nested = b"*3\r\n:1\r\n*2\r\n$3\r\na\r\n\r\n*0\r\n$-1\r\n"
    down = b"$4\r\n\r\n*1\r\n" + nested + b"*-1\r\n" + b"-ERR no\r\n"
    framing = RedisFraming()
    requests = [one for at in range(0, len(up), size) for one in framing.requests(up[at : at + size])]
    replies = [one for at in range(0, len(down), size) for one in framing.replies(down[at : at + size])]
    assert b"".join(one.data for one in requests) == up
    assert b"".join(one.data for one in replies) == down
    assert [(one.kind, one.text, one.ticket) for one in requests] == [
        ("GET", "a\r\n*2", 1),
        ("EVALSHA", "abc 1 ü ", 2),
        ("PING", "now", 3),
        ("MULTI", "", 4),
    ]
    assert [(one.data, one.completed) for one in replies] == [
        (b"$4\r\n\r\n*1\r\n", 1),
        (nested, 2),
        (b"*-1\r\n", 3),
        (b"-ERR no\r\n", 4),
    ]


def test_types_of_the_third_protocol() -> None:
    """Maps hold two values for each they count, null and doubles are one line, and a push answers nothing."""
    framing = RedisFraming()
    pieces = [
        b"%2\r\n+a\r\n_\r\n+b\r\n,1.5\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        b"=5\r\ntxt:x\r\n",
        b"#t\r\n",
    ]
    found = framing.replies(b"".join(pieces))
    assert [one.data for one in found] == pieces
    assert [one.completed for one in found] == [1, 1, 2, 3]


def test_a_line_without_words_is_not_answered() -> None:
    """An empty line expects nothing, so that later answers keep their place."""
    found = RedisFraming().requests(b"\r\nPING\r\n")
    assert [(one.kind, one.ticket) for one in found] == [("", 0), ("PING", 1)]


def test_command_matches_names_and_what_arguments_contain() -> None:
    """Names in any case; a text within the arguments; everything when neither is given."""
    (found,) = RedisFraming().requests(words("evalsha", "0a1b", "1", "{t}:key"))
    assert command("EvalSha")(found)
    assert command("GET", "EVALSHA", containing="{t}")(found)
    assert command()(found)
    assert command(containing="0a1b")(found)
    assert not command("GET")(found)
    assert not command("EVALSHA", containing="other")(found)


@pytest.fixture(scope="module")
def url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest_asyncio.fixture
async def proxy(url: str) -> AsyncIterator[FaultProxy]:
    parts = urlsplit(url)
    async with FaultProxy(parts.hostname or "", parts.port, framing=RedisFraming) as opened:
        yield opened


def connected(url: str, size: int = 1) -> Redis:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    retry = Retry(NoBackoff(), 0)
    client: Redis = Redis.from_url(url, retry=retry, max_connections=size, socket_timeout=SOON, protocol=2)
    return client


@pytest_asyncio.fixture
async def client(proxy: FaultProxy, url: str) -> AsyncIterator[Redis]:
    opened = connected(proxy.url(url))
    await opened.ping()
    yield opened
    await opened.aclose()


async def stored(url: str, key: str) -> Any:
    async with connected(url) as direct:
        return await direct.get(key)


def connection_lost() -> pytest.RaisesExc[Exception]:
    import redis

    return pytest.raises(
        (ConnectionError, redis.ConnectionError), check=lambda error: not isinstance(error, redis.MaxConnectionsError)
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("action", [reset, eof, torn(reset), torn(eof)], ids=lambda one: one.__name__)
async def test_script_cut_after_it_ran(
    proxy: FaultProxy, client: Redis, url: str, action: Action, redis_prefix: str
) -> None:
    """The client gets an error or half of the nested reply, and what the script wrote is there."""
    key, sha = f"{redis_prefix}-{uuid4()}", await client.script_load(SCRIPT)
    trigger = proxy.after(command("EVALSHA", containing=sha), action)
    with connection_lost():
        await client.evalsha(sha, 1, key, "written")
    assert trigger.fired
    assert await stored(url, key) == b"written"


@pytest.mark.asyncio
@pytest.mark.parametrize("action", [reset, eof])
async def test_script_cut_before_it_arrives(
    proxy: FaultProxy, client: Redis, url: str, action: Action, redis_prefix: str
) -> None:
    """The client gets an error, nothing is there."""
    key, sha = f"{redis_prefix}-{uuid4()}", await client.script_load(SCRIPT)
    proxy.before(command("EVALSHA"), action)
    with connection_lost():
        await client.evalsha(sha, 1, key, "written")
    assert await stored(url, key) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(("moment", "expected"), [("before", (b"1", None)), ("after", (b"1", b"2"))])
async def test_one_command_of_a_pipeline_is_hit(
    proxy: FaultProxy, client: Redis, url: str, moment: str, expected: tuple[Any, Any], redis_prefix: str
) -> None:
    """What comes before the command in a pipeline reaches the server, what comes after it reaches it only after."""
    keys = [f"{redis_prefix}-{uuid4()}" for _ in range(3)]
    add = proxy.before if moment == "before" else proxy.after
    add(command("SET", containing=keys[1]), reset)
    pipeline = client.pipeline(transaction=False)
    for number, key in enumerate(keys, 1):
        pipeline.set(key, number)
    with connection_lost():
        await pipeline.execute()
    assert (await stored(url, keys[0]), await stored(url, keys[1])) == expected
    assert await stored(url, keys[2]) == (None if moment == "before" else b"3")


@pytest.mark.asyncio
async def test_replies_before_the_one_that_is_torn_arrive_whole(proxy: FaultProxy, url: str) -> None:
    """In a pipeline the client has the first reply, then half of the second, then nothing more."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    parts = urlsplit(url)
    if parts.password:
        writer.write(words(*(word for word in ("AUTH", parts.username, parts.password) if word)))
        await reader.readline()
    trigger = proxy.after(command("ECHO", containing="second"), torn(stall))
    writer.write(words("ECHO", "first") + words("ECHO", "second") + words("ECHO", "third"))
    await trigger.wait()
    async with asyncio.timeout(SOON):
        assert await reader.readexactly(17) == b"$5\r\nfirst\r\n$6\r\nse"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    await proxy.heal()
    async with asyncio.timeout(SOON):
        assert await reader.readexactly(17) == b"cond\r\n$5\r\nthird\r\n"
    writer.close()


@pytest.mark.asyncio
async def test_half_open_after_a_write_and_large_replies(
    proxy: FaultProxy, client: Redis, url: str, redis_prefix: str
) -> None:
    """The reply that is muted is the whole reply, also one of many packets; earlier ones pass."""
    key = f"{redis_prefix}-{uuid4()}"
    await client.rpush(key, *["x" * 10_000] * 100)
    trigger = proxy.after(command("LRANGE", containing=" 5"), mute_down)
    assert len(await client.lrange(key, 0, -1)) == 100
    waiting = asyncio.ensure_future(client.lrange(key, 5, -1))
    await trigger.wait()
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    waiting.cancel()
    await asyncio.wait({waiting})


@pytest.mark.asyncio
async def test_round_trips_of_the_driver(proxy: FaultProxy, client: Redis, redis_prefix: str) -> None:
    """A command takes one turn, and so do a pipeline and a transaction; with WATCH it takes two more."""
    key = f"{redis_prefix}-{uuid4()}"

    async def piped(transaction: bool) -> None:
        pipeline = client.pipeline(transaction=transaction)
        pipeline.set(key, 1, ex=60).get(key)
        await pipeline.execute()

    async def watched() -> None:
        pipeline = client.pipeline()
        await pipeline.watch(key)
        await pipeline.get(key)
        pipeline.multi()
        pipeline.set(key, 2, ex=60)
        await pipeline.execute()

    assert await round_trips(
        proxy,
        {
            "get": lambda: client.get(key),
            "pipeline": lambda: piped(False),
            "transaction": lambda: piped(True),
            "watched": watched,
        },
    ) == {"get": 1, "pipeline": 1, "transaction": 1, "watched": 3}


@pytest.mark.asyncio
async def test_storm_over_the_driver_crosses_nothing(proxy: FaultProxy, url: str) -> None:
    """Hundreds of cancellations through 4 ms of jitter leave every answer with its caller."""
    await proxy.switch(Faults(jitter_seconds=0.004))
    opened = connected(proxy.url(url), 30)

    async def call(number: int) -> int:
        return int(await opened.echo(str(number)))

    report = await cancel_storm([call], rounds=400, concurrency=20, seed=1, max_delay_seconds=0.02)
    await opened.aclose()
    report.assert_clean(extra_files=90)
    assert report.cancelled > 100
