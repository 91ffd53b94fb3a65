"""The raw-socket server itself: it counts, it breaks connections where it is told to, and it leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from focal_testkit.faults.wire import (
    LAST_CHUNK,
    AtOnce,
    Close,
    Exchange,
    Hang,
    Note,
    Received,
    Reset,
    Send,
    Step,
    Until,
    Wait,
    WireServer,
    chunk,
    reply,
    stream_head,
)

pytestmark = pytest.mark.asyncio

ASK = b"POST /v1/ask?beta=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def opened(server: WireServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(server.origin.rpartition(":")[2]))


async def asked(server: WireServer, request: bytes = ASK) -> bytes:
    """Send a request on a connection of its own and return every byte that comes until the server closes it."""
    reader, writer = await opened(server)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 2.0)
    finally:
        writer.close()


async def test_exchanges_are_taken_in_order_and_the_last_one_stays() -> None:
    """Each request takes the next exchange; beyond the script the last one serves; all are counted."""
    async with WireServer([[Send(b"a"), Close()], [Send(b"b"), Close()]]) as server:
        assert [await asked(server) for _ in range(3)] == [b"a", b"b", b"b"]
        assert (server.attempts, len(server.calls), server.connections) == (3, 3, 3)


async def test_requests_are_recorded_as_they_came() -> None:
    """Method, path, headers and body are there; a chunked body is put together."""
    head = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Key: k\r\n\r\n"
    pieces = b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
    async with WireServer([[Close()]]) as server:
        await asked(server)
        await asked(server, head + pieces)
        first, second = server.requests
    assert (first.method, first.path, first.json()) == ("POST", "/v1/ask", {})
    assert (second.headers["x-key"], second.json()) == ("k", {"a": 1})


async def test_a_connection_is_kept_unless_the_script_ends_it() -> None:
    """Two requests go over one connection."""
    async with WireServer([[reply(200, b"one")]]) as server:
        reader, writer = await opened(server)
        for _ in range(2):
            writer.write(ASK)
            assert (await reader.readuntil(b"one")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        assert await server.settles_at(0, within=1.0)
        assert (server.attempts, server.connections) == (2, 1)


@pytest.mark.parametrize("steps", [(Reset(),), (AtOnce(), Reset()), (Send(b"HTTP"), Wait(0.02), Reset())], ids=str)
async def test_a_reset_is_one(steps: tuple[Step, ...]) -> None:
    """The client sees ECONNRESET, not an end of file, wherever in the exchange it happens."""
    async with WireServer([steps]) as server:
        with pytest.raises(ConnectionResetError):
            await asked(server)
        assert server.attempts == 1


async def test_what_happens_at_once_waits_for_no_request() -> None:
    """A connection can be closed before anything was sent over it."""
    async with WireServer([[AtOnce(), Send(b"go away"), Close()]]) as server:
        assert await asked(server, b"") == b"go away"
        assert (server.attempts, server.requests) == (1, [])


async def test_a_client_that_goes_ends_its_exchange() -> None:
    """Whatever a step waits for, a client that closes its side ends it, and the server knows."""
    waiting: tuple[Step, ...] = (Hang(), Wait(60.0), Until(asyncio.Event()))
    for step in waiting:
        async with WireServer([[step]]) as server:
            _, writer = await opened(server)
            writer.write(ASK)
            assert await server.counts(1, within=1.0)
            assert not await server.rests(within=0.01)
            writer.close()
            assert await server.rests(within=1.0)
            assert await server.settles_at(0, within=1.0)


async def test_a_refused_connection_is_refused() -> None:
    """After ``refuse`` nobody connects."""
    async with WireServer([[Close()]]) as server:
        server.refuse()
        with pytest.raises(ConnectionRefusedError):
            await opened(server)


async def test_a_route_answers_beside_the_script() -> None:
    """A routed request is answered, recorded, and no call."""

    def route(request: Received) -> tuple[Step, ...] | None:
        return (Send(b"aside"), Close()) if request.path == "/aside" else None

    async with WireServer([[Send(b"script"), Close()]], route=route) as server:
        assert await asked(server, b"GET /aside HTTP/1.1\r\n\r\n") == b"aside"
        assert await asked(server) == b"script"
        assert (len(server.requests), len(server.calls), server.attempts) == (2, 1, 1)


async def test_an_exchange_can_be_made_from_its_request() -> None:
    """A callable exchange sees the request; one that raises fails the test that runs the server."""
    exchange: Exchange = lambda request: (Note("seen"), Send(request.body), Close())  # noqa: E731 - an exchange is data
    async with WireServer([exchange]) as server:
        assert await asked(server) == b"{}"
        assert [entry.detail for entry in server.journal.events("noted")] == ["seen"]

    def fails(request: Received) -> tuple[Step, ...]:
        raise ValueError(request.path)

    with pytest.raises(ExceptionGroup) as caught:
        async with WireServer([fails]) as server:
            await asked(server)
    assert isinstance(caught.value.exceptions[0], ValueError)


async def test_chunks_are_framed() -> None:
    """A chunked stream is what HTTP says it is."""
    async with WireServer([[stream_head(), chunk(b"data: 1\n\n"), LAST_CHUNK, Close()]]) as server:
        head, _, body = (await asked(server)).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"


async def test_leaving_closes_everything() -> None:
    """No task and no connection outlives the server."""
    before = asyncio.all_tasks()
    async with WireServer([[Hang()]]) as server:
        reader, writer = await opened(server)
        writer.write(ASK)
        assert await server.counts(1, within=1.0)
    assert await asyncio.wait_for(reader.read(), 1.0) == b""
    assert asyncio.all_tasks() == before
    writer.close()
