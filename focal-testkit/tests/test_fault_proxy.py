"""The fault proxy in front of a small server of lines: each side sees the fault it should see, and only then."""

from __future__ import annotations

import asyncio
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import pytest
import pytest_asyncio

from focal_testkit.faults.connection import Faults
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import AtMost, round_trips
from focal_testkit.faults.triggers import (
    Message,
    Moment,
    Predicate,
    Reply,
    black_hole,
    delay,
    eof,
    mute_down,
    mute_up,
    reset,
    stall,
)

pytestmark = pytest.mark.asyncio
SOON = 5.0


@dataclass
class LineServer:
    """Answers every line with ``ok line``, and remembers what it was told and how its connections ended."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = "eof"
        try:
            while line := await reader.readline():
                async with self.changed:
                    self.lines.append(line.decode().strip())
                    self.changed.notify_all()
                writer.write(b"ok ")
                await asyncio.sleep(0.001)
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            end = "reset"
        finally:
            writer.close()
            async with self.changed:
                self.ends.append(end)
                self.changed.notify_all()

    async def heard(self, count: int) -> list[str]:
        """Return the lines once there are so many."""
        async with asyncio.timeout(SOON), self.changed:
            await self.changed.wait_for(lambda: len(self.lines) >= count)
            return self.lines

    async def ended(self) -> list[str]:
        """Return how connections ended, once one has."""
        async with asyncio.timeout(SOON), self.changed:
            await self.changed.wait_for(lambda: self.ends)
            return self.ends


class Client:
    """Speaks lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: str, within: float = SOON) -> str:
        """Send a line and return the answer; empty at the end of the stream."""
        self.writer.write(line.encode() + b"\n")
        async with asyncio.timeout(within):
            return (await self.reader.readline()).decode().strip()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[LineServer]:
    lines = LineServer()
    listening = await asyncio.start_server(lines.serve, "127.0.0.1", 0)
    lines.port = listening.sockets[0].getsockname()[1]
    yield lines
    listening.close()


@pytest_asyncio.fixture
async def proxy(server: LineServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port) as opened:
        yield opened


@asynccontextmanager
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def says(text: str) -> Predicate:
    return lambda message: text in message.text


async def test_without_faults_bytes_pass_and_are_counted(proxy: FaultProxy) -> None:
    """A network without faults is transparent in both directions, the end of the stream included."""
    async with client(proxy) as one:
        assert await one.ask("hello") == "ok hello"
        one.writer.write_eof()
        assert await one.reader.read() == b""
    counted = proxy.counters
    assert (counted.connections, counted.bytes_up, counted.bytes_down, counted.round_trips) == (1, 6, 9, 1)


async def test_large_transfers_arrive_whole(proxy: FaultProxy) -> None:
    """Back pressure and slices lose no byte and keep the order."""
    await proxy.switch(Faults(slice_bytes=1_000))
    lines = [str(number) * 800 for number in range(300)]
    async with client(proxy) as one:
        one.writer.write("".join(f"{line}\n" for line in lines).encode())
        async with asyncio.timeout(20):
            answers = [(await one.reader.readline()).decode() for _ in lines]
    assert answers == [f"ok {line}\n" for line in lines]


async def test_round_trips_are_turns_not_packets(proxy: FaultProxy) -> None:
    """A turn counts once, however many packets it takes and however long they need."""
    async with client(proxy) as one:
        for piece in ("a", "b", "c"):
            one.writer.write(piece.encode())
            await one.writer.drain()
            await asyncio.sleep(0.01)
        assert await one.ask("") == "ok abc"
        assert proxy.counters.round_trips == 1
        one.writer.write(b"x\ny\nz\n")
        async with asyncio.timeout(SOON):
            assert [await one.reader.readline() for _ in range(3)] == [b"ok x\n", b"ok y\n", b"ok z\n"]
        assert proxy.counters.round_trips == 2


async def test_turns_do_not_wait_for_acknowledgements(proxy: FaultProxy) -> None:
    """Small packets leave at once on both sides: a turn of two packets takes far less than 40 ms."""
    took = []
    async with client(proxy) as one:
        for _ in range(50):
            start = time.monotonic()
            one.writer.write(b"two ")
            await asyncio.sleep(0)
            assert await one.ask("packets") == "ok two packets"
            took.append(time.monotonic() - start)
    assert median(took) < 0.03


async def test_contract_of_round_trips(proxy: FaultProxy) -> None:
    """The most of twenty calls is told; a lone call that takes one more shows."""
    async with client(proxy) as one:
        calls = 0

        async def sometimes_two() -> None:
            nonlocal calls
            calls += 1
            await one.ask("first")
            if calls == 20:
                await one.ask("second")

        async def unanswered() -> None:
            one.writer.write(b"?")

        async def three() -> None:
            for line in "abc":
                await one.ask(line)

        measured = await round_trips(proxy, {"sometimes": sometimes_two, "three": three})
        assert measured == {"sometimes": 2, "three": AtMost(8)}
        assert measured != {"sometimes": 1, "three": AtMost(8)}
        assert measured != {"sometimes": 2, "three": AtMost(2)}
        assert await round_trips(proxy, {"unanswered": unanswered}, warm=0, runs=1) == {"unanswered": 1}


async def test_contract_of_round_trips_refuses_new_connections(proxy: FaultProxy) -> None:
    """A login among the counted calls is told apart from an expensive operation."""

    async def connects() -> None:
        async with client(proxy) as one:
            await one.ask("hello")

    with pytest.raises(AssertionError, match="opened 20 connections"):
        await round_trips(proxy, {"connects": connects})


async def test_latency_delays_each_way_and_lets_chunks_travel_together(proxy: FaultProxy) -> None:
    """Latency is paid in both directions, and once for many chunks under way."""
    await proxy.switch(Faults(latency_seconds=0.1))
    async with client(proxy) as one:
        start = time.monotonic()
        for _ in range(10):
            one.writer.write(b"x\n")
            await asyncio.sleep(0.002)
        async with asyncio.timeout(SOON):
            for _ in range(10):
                await one.reader.readline()
        # One after the other they would take ten times the latency.
        assert 0.2 <= time.monotonic() - start < 1.9


async def test_jitter_repeats_by_seed(server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection's delays come from the seed and its own number."""
    drawn: list[float] = []

    class Recording(random.Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append(super().uniform(a, b))
            return drawn[-1]

    monkeypatch.setattr(random, "Random", Recording)

    async def delays(seed: int) -> list[float]:
        drawn.clear()
        faults = Faults(jitter_seconds=0.01)
        async with FaultProxy("127.0.0.1", server.port, faults=faults, seed=seed) as proxy, client(proxy) as one:
            for line in "abcd":
                await one.ask(line)
            return drawn[:8]

    first, again, other = await delays(1), await delays(1), await delays(2)
    assert first == again != other
    assert len(set(first)) == 8


async def test_rate_limits_bytes(proxy: FaultProxy) -> None:
    """Bytes take their time."""
    await proxy.switch(Faults(bytes_per_second=2_000))
    async with client(proxy) as one:
        start = time.monotonic()
        await one.ask("x" * 197)
        assert time.monotonic() - start >= 0.19


async def test_stalled_network_goes_on_after_healing(proxy: FaultProxy, server: LineServer) -> None:
    """A rate of zero delivers nothing and loses nothing."""
    async with client(proxy) as one:
        await proxy.switch(Faults(bytes_per_second=0))
        with pytest.raises(TimeoutError):
            await one.ask("late", within=0.05)
        assert server.lines == []
        await proxy.heal()
        async with asyncio.timeout(SOON):
            assert await one.reader.readline() == b"ok late\n"


async def test_refused_and_back_on_the_same_port(proxy: FaultProxy) -> None:
    """Refusing concerns new connections; the port is kept."""
    async with client(proxy) as one:
        await proxy.switch(Faults(connect="refuse"))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(proxy.host, proxy.port)
        assert await one.ask("still here") == "ok still here"
        await proxy.heal()
        async with client(proxy) as two:
            assert await two.ask("hello") == "ok hello"


async def test_hang_accepts_and_says_nothing(proxy: FaultProxy, server: LineServer) -> None:
    """The connection stands, the server never hears of it."""
    await proxy.switch(Faults(connect="hang"))
    async with client(proxy) as one:
        with pytest.raises(TimeoutError):
            await one.ask("anyone?", within=0.05)
        assert server.lines == []


async def test_reset_at_once(proxy: FaultProxy) -> None:
    """The connection is accepted and reset, not closed in order."""
    await proxy.switch(Faults(connect="reset"))
    async with client(proxy) as one:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(one.reader.read(), SOON)


async def test_unreachable_server_resets_the_client(server: LineServer) -> None:
    """A server that is down shows as a lost connection, and in the journal."""
    async with FaultProxy("127.0.0.1", 1) as proxy:
        async with client(proxy) as one:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(one.reader.read(), SOON)
        assert proxy.journal.events("unreachable")


async def test_leaving_does_not_wait_for_a_server_that_never_accepts() -> None:
    """A connection attempt that hangs is given up with the proxy."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        start = time.monotonic()
        async with FaultProxy(*full.getsockname()) as proxy, client(proxy):
            await asyncio.sleep(0.05)
            assert proxy.open_connections == 1
            assert not proxy.journal.events("unreachable")
        assert time.monotonic() - start < SOON


async def test_black_hole_up_swallows_requests_and_the_end(proxy: FaultProxy, server: LineServer) -> None:
    """The server neither hears the client nor notices that it has gone."""
    async with client(proxy) as one:
        assert await one.ask("heard") == "ok heard"
        await proxy.switch(Faults(black_hole=frozenset({"up"})))
        with pytest.raises(TimeoutError):
            await one.ask("unheard", within=0.05)
    await asyncio.sleep(0.05)
    assert server.lines == ["heard"]
    assert server.ends == []


async def test_black_hole_down_is_half_open(proxy: FaultProxy, server: LineServer) -> None:
    """The server does as it is told, the client hears nothing."""
    async with client(proxy) as one:
        await proxy.switch(Faults(black_hole=frozenset({"down"})))
        with pytest.raises(TimeoutError):
            await one.ask("done unseen", within=0.05)
        assert await server.heard(1) == ["done unseen"]


async def test_cut_resets_both_sides(proxy: FaultProxy, server: LineServer) -> None:
    """Every open connection ends with a reset for client and server."""
    async with client(proxy) as one:
        await one.ask("hello")
        assert proxy.open_connections == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await one.ask("gone")
        assert await server.ended() == ["reset"]
    assert proxy.open_connections == 0


async def test_a_request_reset_before_is_never_heard(proxy: FaultProxy, server: LineServer) -> None:
    """Before: the server has not seen the request, but all that came before it."""
    trigger = proxy.before(says("COMMIT"), reset)
    async with client(proxy) as one:
        await one.ask("INSERT")
        with pytest.raises(ConnectionResetError):
            await one.ask("COMMIT")
    await server.ended()
    assert server.lines == ["INSERT"]
    assert [message.text for message in trigger.fired] == ["COMMIT\n"]
    assert "COMMIT: reset" in str(proxy.journal)


async def test_a_request_reset_after_was_done(proxy: FaultProxy, server: LineServer) -> None:
    """After: the server has answered, the client hears nothing of it."""
    proxy.after(says("COMMIT"), reset)
    async with client(proxy) as one:
        await one.ask("INSERT")
        with pytest.raises(ConnectionResetError):
            await one.ask("COMMIT")
    assert server.lines == ["INSERT", "COMMIT"]


@pytest.mark.parametrize("moment", Moment)
async def test_eof_is_an_orderly_end(proxy: FaultProxy, server: LineServer, moment: Moment) -> None:
    """The client sees the end of the stream, not a reset."""
    add = proxy.before if moment is Moment.BEFORE else proxy.after
    add(says("COMMIT"), eof)
    async with client(proxy) as one:
        assert await one.ask("COMMIT") == ""
    assert server.lines == ([] if moment is Moment.BEFORE else ["COMMIT"])


async def test_stall_by_trigger_concerns_one_connection_and_heals(proxy: FaultProxy, server: LineServer) -> None:
    """Only the connection that said the word stands still."""
    proxy.after(says("COMMIT"), stall)
    async with client(proxy) as one, client(proxy) as two:
        with pytest.raises(TimeoutError):
            await one.ask("COMMIT", within=0.05)
        assert await two.ask("hello") == "ok hello"
        await proxy.heal()
        async with asyncio.timeout(SOON):
            assert await one.reader.readline() == b"ok COMMIT\n"


async def test_mute_down_by_trigger(proxy: FaultProxy, server: LineServer) -> None:
    """From the trigger on the server hears and is not heard."""
    proxy.before(says("COMMIT"), mute_down)
    async with client(proxy) as one:
        for line in ("COMMIT", "more"):
            with pytest.raises(TimeoutError):
                await one.ask(line, within=0.05)
    assert await server.heard(2) == ["COMMIT", "more"]


async def test_mute_up_by_trigger(proxy: FaultProxy, server: LineServer) -> None:
    """From the answer on the server hears nothing; the answer itself arrives."""
    proxy.after(says("COMMIT"), mute_up)
    async with client(proxy) as one:
        assert await one.ask("COMMIT") == "ok COMMIT"
        with pytest.raises(TimeoutError):
            await one.ask("more", within=0.05)
    assert server.lines == ["COMMIT"]


async def test_black_hole_by_trigger(proxy: FaultProxy, server: LineServer) -> None:
    """Nothing passes either way and nobody is told."""
    proxy.before(says("COMMIT"), black_hole)
    async with client(proxy) as one:
        with pytest.raises(TimeoutError):
            await one.ask("COMMIT", within=0.05)
    assert server.lines == []
    assert server.ends == []


async def test_delay_only_delays(proxy: FaultProxy) -> None:
    """A delayed answer arrives late and whole."""
    proxy.after(says("COMMIT"), delay(0.1))
    async with client(proxy) as one:
        start = time.monotonic()
        assert await one.ask("COMMIT") == "ok COMMIT"
        assert time.monotonic() - start >= 0.1
        assert await one.ask("more") == "ok more"


class Lines:
    """A framing of lines: each asks for one answer, which comes in pieces."""

    def __init__(self) -> None:
        self.asked, self.answered, self.rest = 0, 0, b""

    def requests(self, data: bytes) -> list[Message]:
        *whole, self.rest = (self.rest + data).split(b"\n")
        found = []
        for line in whole:
            self.asked += 1
            found.append(Message(line + b"\n", self.asked, "line", line.decode()))
        return found

    def replies(self, data: bytes) -> list[Reply]:
        found = []
        for piece in data.splitlines(keepends=True):
            self.answered += piece.endswith(b"\n")
            found.append(Reply(piece, self.answered))
        return found


@pytest_asyncio.fixture
async def framed(server: LineServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port, framing=Lines) as opened:
        yield opened


async def test_whole_answer_is_held_and_earlier_answers_pass(framed: FaultProxy, server: LineServer) -> None:
    """After: not one byte of the answer has reached the client, all bytes of the answers before it have."""
    trigger = framed.after(says("COMMIT"), mute_down)
    async with client(framed) as one:
        one.writer.write(b"one\ntwo\nCOMMIT\nmore\n")
        await trigger.wait()
        assert await server.heard(4) == ["one", "two", "COMMIT", "more"]
        async with asyncio.timeout(SOON):
            assert await one.reader.readexactly(len(b"ok one\nok two\n")) == b"ok one\nok two\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.reader.read(1), 0.05)


async def test_earlier_requests_of_one_packet_arrive(framed: FaultProxy, server: LineServer) -> None:
    """Before: what was sent in front of the message in the same packet is delivered first."""
    trigger = framed.before(says("COMMIT"), mute_up)
    async with client(framed) as one:
        one.writer.write(b"one\ntwo\nCOMMIT\nmore\n")
        await trigger.wait()
        assert await server.heard(2) == ["one", "two"]
        await asyncio.sleep(0.02)
    assert server.lines == ["one", "two"]


async def test_released_pieces_pass_while_a_trigger_waits(server: LineServer) -> None:
    """What the client needs to go on is not held back."""

    class Asking(Lines):
        def replies(self, data: bytes) -> list[Reply]:
            return [replace(reply, release=True) for reply in super().replies(data)]

    async with FaultProxy("127.0.0.1", server.port, framing=Asking) as proxy, client(proxy) as one:
        proxy.after(says("COMMIT"), eof)
        one.writer.write(b"COMMIT\n")
        assert await asyncio.wait_for(one.reader.read(), SOON) == b"ok "


@asynccontextmanager
async def server_that_says(words: bytes) -> AsyncIterator[FaultProxy]:
    """Yield the proxy of a server that answers the first packet with all these words at once, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(words)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with FaultProxy("127.0.0.1", listening.sockets[0].getsockname()[1], framing=Lines) as opened:
        yield opened
    listening.close()


async def test_earlier_answers_of_one_packet_arrive() -> None:
    """After: answers in front of the one waited for are delivered before the action, though they came in one packet."""
    async with server_that_says(b"ok one\nok COMMIT\n") as proxy, client(proxy) as one:
        proxy.after(says("COMMIT"), mute_down)
        one.writer.write(b"one\nCOMMIT\n")
        assert await asyncio.wait_for(one.reader.readline(), SOON) == b"ok one\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.reader.read(1), 0.05)


async def test_half_an_answer_and_the_end_arrive() -> None:
    """An answer that the server never completes is given up when the server hangs up; the trigger does not fire."""
    async with server_that_says(b"ok COM") as proxy, client(proxy) as one:
        trigger = proxy.after(says("COMMIT"), mute_down)
        one.writer.write(b"COMMIT\n")
        assert await asyncio.wait_for(one.reader.read(), SOON) == b"ok COM"
        assert not trigger.fired


async def test_unix_socket_behind_the_proxy(server: LineServer) -> None:
    """A server that listens on a path only can be put behind the proxy as well."""
    # pytest's own folder may be too deep for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="focal-") as folder:
        listening = await asyncio.start_unix_server(server.serve, f"{folder}/socket")
        async with FaultProxy(f"{folder}/socket", None) as proxy, client(proxy) as one:
            assert await one.ask("hello") == "ok hello"
        listening.close()


async def test_nth_match_over_all_connections(proxy: FaultProxy) -> None:
    """Matches are counted over connections; `times` of them fire."""
    trigger = proxy.before(says("x"), eof, nth=3, times=2)
    answers = []
    for _ in range(6):
        async with client(proxy) as one:
            answers.append(await one.ask("x"))
    assert answers == ["ok x", "ok x", "", "", "ok x", "ok x"]
    assert trigger.matched == 6
    await trigger.wait()


async def test_own_action_runs_at_the_moment(proxy: FaultProxy, server: LineServer) -> None:
    """Any async function is an action: here one that looks what the server has at that very moment."""
    seen: list[list[str]] = []

    async def look(connection: object) -> None:
        seen.append(list(server.lines))

    proxy.before(says("COMMIT"), look)
    proxy.after(says("COMMIT"), look)
    async with client(proxy) as one:
        assert await one.ask("COMMIT") == "ok COMMIT"
    assert seen == [[], ["COMMIT"]]


async def test_removed_trigger_is_silent(proxy: FaultProxy) -> None:
    """A trigger taken out fires no more; waiting for it fails in time."""
    trigger = proxy.before(says("x"), reset)
    proxy.remove(trigger)
    async with client(proxy) as one:
        assert await one.ask("x") == "ok x"
    with pytest.raises(TimeoutError):
        await trigger.wait(0.01)


async def test_broken_predicate_fails_the_test(server: LineServer) -> None:
    """An error in a predicate is not taken for a fault of the network."""

    def broken(message: Message) -> bool:
        raise KeyError(message.text)

    async def through_a_broken_predicate() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.before(broken, reset)
            async with client(proxy) as one:
                with pytest.raises(ConnectionResetError):
                    await one.ask("x")

    with pytest.raises(ExceptionGroup) as caught:
        await through_a_broken_predicate()
    assert caught.group_contains(KeyError)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (
            "postgresql://me:p%40ss@db.example:5433/focal?sslmode=disable",
            "postgresql://me:p%40ss@{}/focal?sslmode=disable",
        ),
        ("postgresql:///focal?host=/run/pg&port=6000&user=me", "postgresql://{}/focal?user=me"),
        ("postgresql://a:1,b:2/focal", "postgresql://{}/focal"),
        ("redis://:secret@cache/0", "redis://:secret@{}/0"),
    ],
)
async def test_url_leads_through_the_proxy(proxy: FaultProxy, dsn: str, expected: str) -> None:
    """Host and port change, nothing else; addresses in the query go."""
    assert proxy.url(dsn) == expected.format(f"{proxy.host}:{proxy.port}")
