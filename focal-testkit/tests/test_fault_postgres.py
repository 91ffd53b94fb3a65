"""The framing of PostgreSQL's protocol, by hand-made bytes and in front of a real server."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from focal_testkit.faults.cancel import cancel_storm
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.postgres import SSL_REQUEST, PostgresFraming, kind, statement
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.faults.triggers import Action, eof, mute_down, reset, stall
from focal_testkit.servers.postgres import PostgresServer, connected, run

if TYPE_CHECKING:
    from asyncpg import Connection

SOON = 10.0


def message(code: bytes, *strings: str, tail: bytes = b"") -> bytes:
    body = b"".join(text.encode() + b"\0" for text in strings) + tail
    return code + struct.pack("!I", len(body) + 4) + body


def startup(code: int = 196_608, *strings: str) -> bytes:
    body = struct.pack("!I", code) + b"".join(text.encode() + b"\0" for text in (*strings, ""))
    return struct.pack("!I", len(body) + 4) + body


def logged_in() -> PostgresFraming:
    framing = PostgresFraming()
    framing.requests(startup(196_608, "user", "me"))
    framing.replies(message(b"Z", tail=b"I"))
    return framing


def test_prepared_statement_matches_where_it_is_executed() -> None:
    """Bind and Execute refer to a name; the text is that of the Parse, also much later."""
    framing = logged_in()
    framing.requests(message(b"P", "s1", "INSERT INTO t VALUES ($1)") + message(b"S"))
    framing.requests(message(b"P", "s2", "SELECT 1") + message(b"S"))
    found = framing.requests(
        message(b"B", "", "s1", tail=b"\0\xff\0") + message(b"E", "", tail=b"\0" * 4) + message(b"S")
    )
    assert [one.kind for one in found] == ["bind", "execute", "sync"]
    assert [statement("insert")(one) for one in found] == [False, True, False]
    assert not statement("SELECT")(found[1])


def test_statement_searches_whole_words() -> None:
    """COMMIT is not committed_at; a pattern may say more."""
    framing = logged_in()
    (found,) = framing.requests(message(b"Q", "SELECT committed_at FROM focal.sessions"))
    assert not statement("COMMIT")(found)
    assert statement(r"from focal\.\w+")(found)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_bytes_cut_anywhere_give_the_same_messages(size: int) -> None:
    """Neither side's bytes are lost, added or reordered, however they arrive."""
    up = startup(196_608, "user", "me") + message(b"Q", "BEGIN") + message(b"P", "", "SELECT 'ü'") + message(b"S")
    down = message(b"R", tail=b"\0" * 4) + message(b"Z", tail=b"I") + message(b"C", "BEGIN") + message(b"Z", tail=b"T")
    framing = PostgresFraming()
    requests = [one for at in range(0, len(up), size) for one in framing.requests(up[at : at + size])]
    replies = [one for at in range(0, len(down), size) for one in framing.replies(down[at : at + size])]
    assert b"".join(one.data for one in requests) == up
    assert b"".join(one.data for one in replies) == down
    assert [(one.kind, one.ticket) for one in requests] == [("startup", 1), ("query", 2), ("parse", 3), ("sync", 3)]
    assert [one.completed for one in replies] == [0, 1, 1, 2]


def test_declined_encryption_goes_on_in_clear() -> None:
    """The single byte that answers an SSLRequest is no message of the usual form."""
    framing = PostgresFraming()
    (asked,) = framing.requests(struct.pack("!II", 8, SSL_REQUEST))
    assert asked.kind == "ssl_request"
    assert [one.completed for one in framing.replies(b"N")] == [1]
    assert framing.requests(startup(196_608, "user", "me"))[0].text == "user me"


def test_encrypted_bytes_are_left_alone() -> None:
    """After TLS is agreed nothing is taken for a message; its first bytes can be waited for."""
    framing = PostgresFraming()
    framing.requests(struct.pack("!II", 8, SSL_REQUEST))
    framing.replies(b"S")
    assert [one.kind for one in framing.requests(b"\x16\x03\x01" + b"Q" * 20)] == ["tls_hello"]
    assert [one.kind for one in framing.requests(b"Q" * 20)] == ["opaque"]
    assert [one.data for one in framing.replies(b"Z" * 3)] == [b"ZZZ"]


def test_what_the_client_must_answer_is_released() -> None:
    """A request for a password and a copy that waits for data are never held back."""
    framing = PostgresFraming()
    framing.requests(startup(196_608, "user", "me"))
    (asks,) = framing.replies(message(b"R", tail=struct.pack("!I", 10)))
    (welcome,) = framing.replies(message(b"R", tail=struct.pack("!I", 0)))
    assert (asks.release, welcome.release) == (True, False)
    assert framing.requests(message(b"p", "secret"))[0].ticket == 1
    framing.replies(message(b"Z", tail=b"I"))
    framing.requests(message(b"Q", "COPY t FROM STDIN"))
    assert framing.replies(message(b"G", tail=b"\0\0\0"))[0].release
    (done,) = framing.requests(message(b"c"))
    assert (done.kind, done.text, done.ticket) == ("copy_done", "COPY t FROM STDIN", 2)


def test_what_a_flush_asks_for_is_released() -> None:
    """Without a Sync under way the client may be waiting for less than a whole answer."""
    framing = logged_in()
    framing.requests(message(b"P", "", "SELECT 1") + message(b"H"))
    assert framing.replies(message(b"1"))[0].release
    framing.requests(message(b"S"))
    assert not framing.replies(message(b"1"))[0].release


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> Any:
    url = run(postgres_server.create_database())
    yield url
    run(postgres_server.drop_database(url))


@pytest_asyncio.fixture
async def proxy(dsn: str) -> AsyncIterator[FaultProxy]:
    parts = urlsplit(dsn)
    async with connected(dsn) as connection:
        await connection.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (n int PRIMARY KEY)")
    async with FaultProxy(parts.hostname or "", parts.port, framing=PostgresFraming) as opened:
        yield opened


@pytest_asyncio.fixture
async def connection(proxy: FaultProxy, dsn: str) -> AsyncIterator[Connection]:
    import asyncpg

    opened = await asyncpg.connect(proxy.url(dsn), timeout=SOON)
    yield opened
    opened.terminate()


async def rows(dsn: str) -> list[int]:
    async with connected(dsn) as connection:
        return [row["n"] for row in await connection.fetch("SELECT n FROM t ORDER BY n")]


def connection_lost() -> pytest.RaisesExc[Exception]:
    import asyncpg

    return pytest.raises((ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError))


INSERT = "INSERT INTO t VALUES ($1)"


@pytest.mark.asyncio
@pytest.mark.parametrize("action", [reset, eof])
async def test_prepared_insert_cut_after_it_was_done(
    proxy: FaultProxy, connection: Connection, dsn: str, action: Action
) -> None:
    """The client gets an error, the row is there: the outcome that nobody may call refused."""
    await connection.execute(INSERT, 1)
    proxy.after(statement("INSERT"), action)
    with connection_lost():
        await connection.execute(INSERT, 2)
    assert await rows(dsn) == [1, 2]


@pytest.mark.asyncio
@pytest.mark.parametrize("action", [reset, eof])
async def test_prepared_insert_cut_before_it_arrives(
    proxy: FaultProxy, connection: Connection, dsn: str, action: Action
) -> None:
    """The client gets an error, the row is not there."""
    await connection.execute(INSERT, 1)
    proxy.before(statement("INSERT"), action)
    with connection_lost():
        await connection.execute(INSERT, 2)
    assert await rows(dsn) == [1]


@pytest.mark.asyncio
@pytest.mark.parametrize(("moment", "expected"), [("before", []), ("after", [1, 2])])
async def test_commit_is_hit_before_and_after(
    proxy: FaultProxy, connection: Connection, dsn: str, moment: str, expected: list[int]
) -> None:
    """The millisecond of the commit, on either side of it."""
    add = proxy.before if moment == "before" else proxy.after
    add(statement("COMMIT"), reset)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(INSERT, 1)
    await connection.execute(INSERT, 2)
    with connection_lost():
        await transaction.commit()
    assert await rows(dsn) == expected


@pytest.mark.asyncio
async def test_half_open_after_an_update_and_large_answers(proxy: FaultProxy, connection: Connection, dsn: str) -> None:
    """The answer that is muted is the whole answer, also one of many packets; earlier answers pass."""
    await connection.execute("INSERT INTO t SELECT generate_series(1, 50000)")
    trigger = proxy.after(statement("UPDATE"), mute_down)
    assert len(await connection.fetch("SELECT n FROM t")) == 50_000
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(
            asyncio.shield(asyncio.ensure_future(connection.fetch("UPDATE t SET n = n + 50000 RETURNING n"))), 1.0
        )
    await trigger.wait()
    assert (await rows(dsn))[0] == 50_001


@pytest.mark.asyncio
async def test_copy_passes_under_a_waiting_trigger(proxy: FaultProxy, connection: Connection, dsn: str) -> None:
    """A trigger for the end of a copy does not hold back what the client needs to send its data."""
    proxy.after(statement("COPY"), reset)
    with connection_lost():
        await asyncio.wait_for(connection.copy_records_to_table("t", records=[(1,), (2,)]), SOON)
    assert await rows(dsn) == [1, 2]


@pytest.mark.asyncio
async def test_login_stalls_before_and_is_cut_after(proxy: FaultProxy, dsn: str) -> None:
    """Triggers reach the login as well."""
    import asyncpg

    before = proxy.before(kind("startup"), stall)
    with pytest.raises(TimeoutError):
        await asyncpg.connect(proxy.url(dsn), timeout=0.3)
    after = proxy.after(kind("startup"), reset)
    with connection_lost():
        await asyncpg.connect(proxy.url(dsn), timeout=SOON)
    assert (len(before.fired), len(after.fired)) == (1, 1)
    opened = await asyncpg.connect(proxy.url(dsn), timeout=SOON)
    assert await opened.fetchval("SELECT 1") == 1
    await opened.close()


@pytest.mark.asyncio
async def test_round_trips_of_the_driver(proxy: FaultProxy, connection: Connection) -> None:
    """A prepared statement takes one turn, a transaction around it three, without the cache two."""
    numbers = iter(range(1_000))

    async def in_a_transaction() -> None:
        async with connection.transaction():
            await connection.execute(INSERT, next(numbers))

    async def prepared_each_time() -> None:
        await connection.fetchval(f"SELECT $1::int + {next(numbers)}", 1)

    assert await round_trips(
        proxy,
        {
            "prepared": lambda: connection.execute(INSERT, next(numbers)),
            "transaction": in_a_transaction,
            "new text": prepared_each_time,
            "nothing": lambda: asyncio.sleep(0),
        },
    ) == {"prepared": 1, "transaction": 3, "new text": 2, "nothing": 0}


@pytest.mark.asyncio
async def test_storm_over_the_driver_crosses_nothing(proxy: FaultProxy, dsn: str) -> None:
    """Hundreds of cancellations through 4 ms of jitter leave the pool whole and every answer with its caller."""
    import asyncpg

    await proxy.switch(Faults(jitter_seconds=0.004))
    pool = await asyncpg.create_pool(proxy.url(dsn), min_size=5, max_size=5)

    async def call(number: int) -> int:
        return int(await pool.fetchval("SELECT $1::int", number))

    report = await cancel_storm([call], rounds=400, concurrency=20, seed=1, max_delay_seconds=0.02)
    await pool.close()
    report.assert_clean(extra_files=20)
    assert report.cancelled > 100
