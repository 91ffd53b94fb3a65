"""One fault, and what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from focal_core.errors import ProviderError
from focal_core.providers.models import CallOptions
from focal_testkit.faults.wire import Exchange, WireServer
from focal_testkit.faults.wire_dialect import ANSWER, Answer, WireDialect

Mode: TypeAlias = Literal["generate", "stream", "structured", "embed"]
WHOLE: frozenset[Mode] = frozenset({"generate", "structured"})
ASKED: frozenset[Mode] = WHOLE | {"stream"}
EVERY: frozenset[Mode] = ASKED | {"embed"}

KEY = "sk-kit-quokka-0123456789abcdef"
"""The key under test; searched for where it must not appear."""
MODEL = "model-that-was-asked"
PROMPT = "Does the wombat of Cradle Mountain dig its burrow at night, or is that a tale for tourists?"
"""The prompt under test; searched for likewise."""
TEXTS = (PROMPT, "The platypus of Eungella has venom, and nobody believes it at first.", "A quoll.")
"""What is embedded under test."""
STRUCTURED_ANSWER = '{"animal": "quokka of Rottnest, smiling", "burrows": 3}'


class Report(BaseModel):
    """What structured output is asked for under test."""

    animal: str
    burrows: int


@dataclass
class Outcome:
    """What came of one call.

    Attributes:
        result: what it returned: an LLMResponse, or an EmbeddingResponse.
        error: what it raised.
        text: handed over by a stream.
        elapsed: seconds.
        server: that was asked.
        elsewhere: another server, which nothing must reach.
    """

    result: Any
    error: BaseException | None
    text: str
    elapsed: float
    server: WireServer
    elsewhere: WireServer


Script: TypeAlias = Callable[["Wire"], Sequence[Exchange]]


@dataclass(frozen=True)
class Wire:
    """What a script is written for.

    Attributes:
        dialect: of the server.
        mode: of the call.
        elsewhere: origin of a server that nothing must reach.
    """

    dialect: WireDialect
    mode: Mode
    elsewhere: str = ""

    @property
    def answer(self) -> Answer:
        """The good answer of the mode."""
        return Answer(text=STRUCTURED_ANSWER if self.mode == "structured" else ANSWER)

    def good(self, answer: Answer | None = None) -> Exchange:
        """Return a good reply to a call of the mode."""
        if self.mode == "embed":
            return self.dialect.answered()  # type: ignore[attr-defined, no-any-return]
        if self.mode == "stream":
            return self.dialect.streamed(answer or self.answer)
        return self.dialect.good(answer or self.answer)


@dataclass(frozen=True)
class FaultCase:
    """What a server does, and what the caller must see of it.

    Attributes:
        name: of the test.
        script: the server's exchanges.
        error: class of the error; None = the call succeeds.
        code: of the error; None = the default of the class.
        retryable: of the error; None = the default of the class.
        attempts: how many are made, all counted by the server unless ``refused``; None = as many as it takes.
        modes: calls it applies to.
        wires: dialects it applies to, by name; empty = all.
        options: limits of the call.
        needs: capability of the provider without which the case means nothing.
        refused: connections are refused, so that the server counts nothing.
        calls: how often the call is made, each with that outcome.
        check: whatever else must hold.
    """

    name: str
    script: Script
    error: type[ProviderError] | None = None
    code: str | None = None
    retryable: bool | None = None
    attempts: int | None = 1
    modes: frozenset[Mode] = ASKED
    wires: frozenset[str] = frozenset()
    options: CallOptions = field(default_factory=lambda: CallOptions(max_attempts=2))
    needs: str | None = None
    refused: bool = False
    calls: int = 1
    check: Callable[[Outcome], None] = lambda _: None

    def applies(self, dialect: WireDialect, mode: Mode) -> bool:
        """Return whether the case makes sense for a wire and a kind of call."""
        return mode in self.modes and (not self.wires or dialect.name in self.wires)

    def __str__(self) -> str:
        return self.name


def only(exchange: Callable[[Wire], Exchange]) -> Script:
    """Return a script that answers every request the same way."""
    return lambda wire: [exchange(wire)]


def then_good(exchange: Callable[[Wire], Exchange]) -> Script:
    """Return a script that answers the first request that way, and the others well."""
    return lambda wire: [exchange(wire), wire.good()]


def refused(kind: str, *, status: int | None = None, **headers: str) -> Callable[[Wire], Exchange]:
    """Return an error reply of the vendor; header names are written with underscores."""
    return lambda wire: wire.dialect.refused(kind, status=status, **headers)


def limits(**given: Any) -> CallOptions:
    """Return limits of a call that tries twice."""
    return CallOptions(**{"max_attempts": 2, **given})


async def quiet(tasks_before: frozenset[asyncio.Task[Any]], ignored: str, *, within: float) -> list[str]:
    """Return the tasks that are still there beside those of before, once they had time to end."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + within
    while True:
        left = [task for task in asyncio.all_tasks() - tasks_before if task.get_name() != ignored and not task.done()]
        if not left or loop.time() >= ends:
            return [repr(task) for task in left]
        await asyncio.sleep(0.005)
