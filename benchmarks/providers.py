"""What focal's providers cost over the vendors' own SDKs: CPU of a call, an event and vectors, imports, memory.

The server is a process of its own, so that the CPU measured is the client's. Both sides ask the same server in turn,
round by round; medians of the rounds are printed. ``--json FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import LLMMessage, LLMRequest
from focal_testkit.faults.wire import LAST_CHUNK, Received, Send, Step, WireServer, chunk, json_reply, stream_head
from focal_testkit.faults.wire_dialect import Answer, Call, WireDialect
from focal_testkit.faults.wire_dialects import DIALECTS
from focal_testkit.faults.wire_embeddings import EmbeddingsDialect

KEY, MODEL, PROMPT = "sk-benchmark", "benchmark", "How deep does a wombat dig?"
REQUEST = LLMRequest(messages=(LLMMessage(role="user", content=PROMPT),), max_tokens=64)
PIECE = 9
"""Characters of one delta of the dialects."""
EVENTS = 2_000
TEXTS = [f"burrow {number}" for number in range(100)]
VECTOR = [(number % 7 - 3) / 100 for number in range(1_536)]
Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Contender:
    """A vendor, asked directly and through focal.

    Attributes:
        dialect: of the server.
        sdk: opens the vendor's client.
        whole: asks the SDK for a whole answer.
        streamed: asks the SDK for a stream, and reads all of its raw events.
        connect: opens focal's provider.
    """

    dialect: WireDialect
    sdk: Callable[[str], AbstractAsyncContextManager[Any]]
    whole: Callable[[Any], Awaitable[Any]]
    streamed: Callable[[Any], Awaitable[Any]]
    connect: Callable[[str], AbstractAsyncContextManager[LLMProvider]]


def answers(dialect: WireDialect) -> dict[str, Answer]:
    """Return the answers of the server, by the path they are found under."""
    return {
        "plain": Answer(),
        "text": Answer(text="wombats " * (EVENTS * PIECE // 8)),
        "short_call": Answer(text="", calls=(Call("c", "dig", _arguments(200)),), finish="tool_calls"),
        "long_call": Answer(text="", calls=(Call("c", "dig", _arguments(4_000)),), finish="tool_calls"),
    }


def _arguments(deltas: int) -> str:
    return json.dumps({"where": "x" * (deltas * PIECE - 13)})


def replies(name: str) -> dict[str, tuple[Step, Step]]:
    """Return what the server says, whole and as a stream, by the first part of the path."""
    dialect = DIALECTS[name]
    if isinstance(dialect, EmbeddingsDialect):
        listed = dialect.listed(TEXTS, "base64", spoil=lambda rows: [{**row, "embedding": VECTOR} for row in rows])
        vectors = json_reply(200, listed, dialect.headers())
        return {"vectors": (vectors, vectors)}
    ready: dict[str, tuple[Step, Step]] = {}
    for kind, answer in answers(dialect).items():
        body = b"".join(chunk(event.encode()).data for event in dialect.events(answer))
        stream = Send(stream_head(dialect.headers()).data + body + LAST_CHUNK.data)
        (whole,) = dialect.good(answer)
        ready[kind] = (whole, stream)
    return ready


async def serve(name: str) -> None:
    """Serve a dialect until the parent closes standard input."""
    ready = replies(name)

    def respond(request: Received) -> Sequence[Step]:
        return [ready[request.path.split("/")[1]][b'"stream":true' in request.body.replace(b" ", b"")]]

    async with WireServer([respond]) as server:
        print(server.origin, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def server(name: str) -> AsyncIterator[str]:
    """Run a server in another process and yield its origin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", name, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def cpu(ask: Ask, times: int) -> float:
    """Return the CPU seconds of this process for one call."""
    gc.collect()
    start = time.process_time()
    for _ in range(times):
        await ask()
    return (time.process_time() - start) / times


async def streamed(llm: LLMProvider) -> None:
    """Read a stream of focal's to its end."""
    async with llm.stream(REQUEST) as stream:
        async for _ in stream:
            pass


@asynccontextmanager
async def anthropic_sdk(base_url: str) -> AsyncIterator[Any]:
    """Open Anthropic's client, configured as focal does."""
    import anthropic

    async with anthropic.AsyncAnthropic(
        api_key=KEY,
        base_url=base_url,
        max_retries=0,
        timeout=120.0,
        open_telemetry=False,
        http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False),
    ) as sdk:
        yield sdk


def anthropic_contender() -> Contender:
    """Return Messages."""
    from focal_providers.anthropic.llm import AnthropicProvider

    said: Any = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}

    async def raw_stream(sdk: Any) -> None:
        async for _ in await sdk.messages.create(**said, stream=True):
            pass

    return Contender(
        dialect=DIALECTS["anthropic"],
        sdk=anthropic_sdk,
        whole=lambda sdk: sdk.messages.create(**said),
        streamed=raw_stream,
        connect=lambda base_url: AnthropicProvider.connect(model=MODEL, api_key=KEY, base_url=base_url),
    )


@asynccontextmanager
async def openai_sdk(base_url: str) -> AsyncIterator[Any]:
    """Open OpenAI's client, configured as focal does."""
    import openai

    async with openai.AsyncOpenAI(
        api_key=KEY,
        base_url=base_url,
        max_retries=0,
        timeout=120.0,
        http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
    ) as sdk:
        yield sdk


def responses_contender() -> Contender:
    """Return Responses."""
    from focal_providers.openai.llm import OpenAIProvider

    said: Any = {"model": MODEL, "max_output_tokens": 64, "input": [{"role": "user", "content": PROMPT}]}

    async def raw_stream(sdk: Any) -> None:
        async for _ in await sdk.responses.create(**said, stream=True):
            pass

    return Contender(
        dialect=DIALECTS["openai-responses"],
        sdk=openai_sdk,
        whole=lambda sdk: sdk.responses.create(**said),
        streamed=raw_stream,
        connect=lambda base_url: OpenAIProvider.connect(model=MODEL, api_key=KEY, base_url=base_url),
    )


def chat_contender() -> Contender:
    """Return Chat Completions."""
    from focal_providers.openai.llm import OpenAIProvider

    said: Any = {"model": MODEL, "max_completion_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}

    async def raw_stream(sdk: Any) -> None:
        async for _ in await sdk.chat.completions.create(**said, stream=True):
            pass

    return Contender(
        dialect=DIALECTS["openai-chat"],
        sdk=openai_sdk,
        whole=lambda sdk: sdk.chat.completions.create(**said),
        streamed=raw_stream,
        connect=lambda base_url: OpenAIProvider.connect(model=MODEL, api_key=KEY, base_url=base_url, api="chat"),
    )


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "anthropic": anthropic_contender,
    "openai-responses": responses_contender,
    "openai-chat": chat_contender,
}
PACKAGES = ("anthropic", "openai")


@dataclass
class Line:
    """One measured thing.

    Attributes:
        what: it is.
        figure: measured.
        unit: of figure and limit.
        limit: it should not exceed; None = none.
    """

    what: str
    figure: float
    unit: str
    limit: float | None = None

    @property
    def fine(self) -> bool:
        """Whether it keeps its limit."""
        return self.limit is None or self.figure <= self.limit


async def over(ours: Ask, theirs: Ask, times: int, rounds: int) -> tuple[float, float]:
    """Return the CPU seconds of their call, and by how much ours exceeds it: medians of alternating rounds."""
    await cpu(theirs, 3)
    await cpu(ours, 3)
    pairs = []
    for number in range(rounds):
        if number % 2:
            own = await cpu(ours, times)
            pairs.append((await cpu(theirs, times), own))
        else:
            pairs.append((await cpu(theirs, times), await cpu(ours, times)))
    return median(theirs for theirs, _ in pairs), median(ours - theirs for theirs, ours in pairs)


async def measure(name: str, quick: bool) -> list[Line]:
    """Measure one contender."""
    contender = CONTENDERS[name]()
    rounds = 7 if quick else 15
    lines = []
    async with server(name) as origin:

        @asynccontextmanager
        async def both(kind: str) -> AsyncIterator[tuple[Any, LLMProvider]]:
            base_url = contender.dialect.base_url(f"{origin}/{kind}")
            async with contender.sdk(base_url) as sdk, contender.connect(base_url) as llm:
                yield sdk, llm

        async with both("plain") as (sdk, llm):
            theirs, extra = await over(partial(llm.generate, REQUEST), partial(contender.whole, sdk), 100, rounds)
            lines.append(Line(f"{name}: CPU of a call, SDK", theirs * 1e3, "ms"))
            lines.append(Line(f"{name}: CPU of a call, focal more", extra * 1e3, "ms", 0.25))
        async with both("text") as (sdk, llm):
            theirs, extra = await over(partial(streamed, llm), partial(contender.streamed, sdk), 5, rounds)
            lines.append(Line(f"{name}: CPU of a streamed event, SDK", theirs / EVENTS * 1e6, "µs"))
            lines.append(Line(f"{name}: CPU of a streamed event, focal more", extra / EVENTS * 1e6, "µs", 5.0))
        async with both("short_call") as (_, short), both("long_call") as (_, long):
            few, many = [], []
            for _ in range(rounds):
                few.append(await cpu(partial(streamed, short), 40) / 200)
                many.append(await cpu(partial(streamed, long), 2) / 4_000)
            growth = median(many) / median(few)
            lines.append(Line(f"{name}: event of 4000 deltas by one of 200", growth, "x", 1.2))
        if not quick:
            async with both("plain") as (_, llm):
                lines.append(Line(f"{name}: memory of 10,000 streams", await growth_of(llm), "MB", 5.0))
    return lines


async def measure_vectors(quick: bool) -> list[Line]:
    """Measure reading 100 vectors of 1,536 dimensions."""
    from focal_providers.openai.embedding import OpenAIEmbeddings

    said: Any = {"model": MODEL, "input": TEXTS}
    given: Any = {"embedding_model": MODEL, "dimensions": len(VECTOR), "api_key": KEY}
    async with server("openai-embeddings") as origin:
        base_url = f"{origin}/vectors/v1"
        async with openai_sdk(base_url) as sdk, OpenAIEmbeddings.connect(base_url=base_url, **given) as embeddings:
            ours, theirs = partial(embeddings.embed, TEXTS), partial(sdk.embeddings.create, **said)
            took, extra = await over(ours, theirs, 10, 7 if quick else 15)
    return [
        Line("openai-embeddings: CPU of 100 vectors, SDK", took * 1e3, "ms"),
        Line("openai-embeddings: CPU of 100 vectors, focal more", extra * 1e3, "ms", 3.0),
    ]


async def growth_of(llm: LLMProvider) -> float:
    """Return by how many megabytes the process grows over 10,000 streams, behind the first thousand."""
    for number in range(11_000):
        if number == 1_000:
            gc.collect()
            before = _resident()
        await streamed(llm)
    gc.collect()
    return (_resident() - before) / 1e6


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def imports() -> list[Line]:
    """Measure what importing the package costs over importing core."""
    code = (
        "import time, focal_core.providers.llm, focal_core.plugins.backend, focal_core.settings;"
        "statm = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096;"
        "start, before = time.perf_counter(), statm();"
        "import focal_providers, focal_providers.{}.backend;"
        "print(time.perf_counter() - start, statm() - before)"
    )
    lines = []
    for name in PACKAGES:
        runs = [
            subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
            for _ in range(7)
        ]
        figures = [tuple(map(float, run.stdout.split())) for run in runs]
        lines.append(Line(f"{name}: import over core, best", min(one for one, _ in figures) * 1e3, "ms", 150))
        lines.append(Line(f"{name}: import over core", median(two for _, two in figures) / 1e6, "MB", 15))
    return lines


async def main(given: argparse.Namespace) -> int:
    """Measure and print; the exit status is 1 under ``--strict`` when a limit is exceeded."""
    lines = imports()
    for name in CONTENDERS:
        lines += await measure(name, given.quick or given.smoke)
    lines += await measure_vectors(given.quick or given.smoke)
    table = Table("what", "figure", "limit")
    for line in lines:
        limit = "" if line.limit is None else f"{line.limit:g} {line.unit}{'' if line.fine else '  exceeded'}"
        table.add_row(line.what, f"{line.figure:.3f} {line.unit}", limit)
    Console().print(table)
    if given.json is not None:
        given.json.write_text(json.dumps([vars(line) for line in lines], indent=1), encoding="utf-8")
    return int(given.strict and not all(line.fine for line in lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no memory")
    parser.add_argument("--smoke", action="store_true", help="the same")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a limit is exceeded")
    parser.add_argument("--json", type=Path, help="keep the figures")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    # `nox -s bench` hands all of them what only the others know.
    known = parser.parse_known_args()[0]
    if known.serve is not None:
        asyncio.run(serve(known.serve))
    else:
        sys.exit(asyncio.run(main(known)))
