"""Limits of a language model: how many at a time, how many in a minute, and in which order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

import pytest

from focal_core.errors import DeadlineExceeded, InvalidRequest, Overloaded
from focal_core.providers.limits import LimitedLLM
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    StreamEvent,
)
from focal_core.providers.scripted import ScriptedLLM
from focal_core.providers.stream import LLMStream, events_of, opened_stream
from focal_core.usage import TokenUsage
from focal_testkit.faults.scheduler import explore, run

T = TypeVar("T")


def virtual(test: Callable[[], Awaitable[T]]) -> T:
    async def scenario() -> T:
        return await test()

    return run(scenario, seed=1)


def asking(text: str = "a", **fields: Any) -> LLMRequest:
    return LLMRequest(messages=(LLMMessage(role="user", content=text),), **fields)


class Slow(LLMProvider):
    """Takes its time, and notes who began when and how many were at it."""

    name: ClassVar[str] = "slow"

    def __init__(self, seconds: float = 1.0, attempts: int = 1, tokens: int = 0, fails: bool = False) -> None:
        self._seconds, self._attempts, self._tokens, self._fails = seconds, attempts, tokens, fails
        self.began: list[tuple[float, str, float | None]] = []
        self.now = self.most = 0

    @property
    def model_id(self) -> str:
        return "slow-1"

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        self.began.append((asyncio.get_running_loop().time(), request.messages[0].text, options.deadline))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.now -= 1
        attempts = tuple(Attempt(n=n + 1, outcome="ok") for n in range(self._attempts))
        usage = TokenUsage(prompt_tokens=self._tokens, reported=bool(self._tokens))
        if self._fails:
            raise Overloaded("busy", attempts=attempts, usage=usage)
        message = LLMMessage(role="assistant", content="yes")
        return LLMResponse(message=message, usage=usage, attempts=attempts, model="slow-1", provider="slow")

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        async def events() -> AsyncIterator[StreamEvent]:
            for event in events_of(await self.generate(request, options=options)):
                yield event

        return opened_stream(events, self.name)


async def ask_all(llm: LLMProvider, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            group.create_task(llm.generate(asking(str(n))))


def test_limits_at_most_so_many_calls_are_under_way() -> None:
    """The others wait until one has ended, failed ones included."""
    slow = Slow()

    virtual(lambda: ask_all(LimitedLLM(slow, max_concurrency=3), 9))

    assert slow.most == 3
    assert sorted(when for when, *_ in slow.began) == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


def test_limits_a_bucket_of_a_minute_is_spent_at_once_and_fills_evenly() -> None:
    """Sixty in a minute: sixty now, then one each second."""
    slow = Slow(seconds=0.0)

    virtual(lambda: ask_all(LimitedLLM(slow, requests_per_minute=60), 63))

    assert [round(when, 6) for when, *_ in slow.began] == [0.0] * 60 + [1.0, 2.0, 3.0]


def test_limits_first_come_first_served() -> None:
    """A small call does not pass a large one that came before it."""
    slow = Slow(seconds=0.0)
    llm = LimitedLLM(slow, tokens_per_minute=600)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            for name, tokens in (("all", 590), ("large", 300), ("small", 1)):
                group.create_task(llm.generate(asking(name, max_tokens=tokens)))
                await asyncio.sleep(0.001)

    virtual(scenario)

    assert [name for _, name, _ in slow.began] == ["all", "large", "small"]
    assert slow.began[1][0] > 25.0


def test_limits_a_call_larger_than_a_minute_waits_for_a_full_bucket() -> None:
    """It is not refused, and not let wait for ever."""
    slow = Slow(seconds=0.0)
    llm = LimitedLLM(slow, tokens_per_minute=100)

    async def scenario() -> None:
        await llm.generate(asking("one", max_tokens=1_000))
        await llm.generate(asking("two", max_tokens=1))

    virtual(scenario)

    # 1,000 and 6 or so of the prompt were taken out of 100.
    assert slow.began[0][0] == 0.0
    assert slow.began[1][0] == pytest.approx(550, abs=20)


def test_limits_what_a_call_really_took_is_settled_afterwards() -> None:
    """Tokens estimated too high are given back; further attempts are requests too, of failed calls as well."""
    thrifty = Slow(seconds=0.0, tokens=10)
    llm = LimitedLLM(thrifty, tokens_per_minute=1_000)

    async def twice() -> float:
        for _ in range(2):
            await llm.generate(asking(max_tokens=900))
        return thrifty.began[1][0]

    assert virtual(twice) == 0.0

    retrying = Slow(seconds=0.0, attempts=3, fails=True)
    limited = LimitedLLM(retrying, requests_per_minute=3)

    async def again() -> float:
        for _ in range(2):
            with pytest.raises(Overloaded):
                await limited.generate(asking())
        return retrying.began[1][0]

    assert virtual(again) == pytest.approx(20.0)


def test_limits_t1_waiting_ends_at_the_deadline_and_counts_against_it() -> None:
    """A call that waited has the rest of its time; one whose time is over never begins."""
    slow = Slow(seconds=3.0)
    llm = LimitedLLM(slow, max_concurrency=1)

    async def scenario() -> float:
        first = asyncio.create_task(llm.generate(asking("first")))
        await asyncio.sleep(0)
        second = asyncio.create_task(llm.generate(asking("second"), options=CallOptions(deadline=4.0)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await llm.generate(asking("third"), options=CallOptions(deadline=1.0))
        ended = asyncio.get_running_loop().time()
        await asyncio.gather(first, second)
        return ended

    assert virtual(scenario) == pytest.approx(1.0)
    assert slow.began == [(0.0, "first", None), (3.0, "second", pytest.approx(1.0))]


def test_limits_t3_a_cancelled_call_leaves_its_place_to_the_next() -> None:
    """Whoever is cancelled, waiting or being answered, holds nothing up."""
    slow = Slow(seconds=5.0)
    llm = LimitedLLM(slow, max_concurrency=1, requests_per_minute=600)

    async def scenario() -> float:
        tasks = []
        for n in range(4):
            tasks.append(asyncio.create_task(llm.generate(asking(str(n)))))
            await asyncio.sleep(0.25)
        for n in (0, 1, 2):
            tasks[n].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return asyncio.get_running_loop().time()

    for seed in range(10):
        assert run(scenario, seed) == pytest.approx(6.0)


def test_limits_a_stream_keeps_its_place_until_it_is_left() -> None:
    """A place is free when the stream is closed, not when it began."""
    slow = Slow(seconds=0.0)
    llm = LimitedLLM(slow, max_concurrency=1)

    async def scenario() -> float:
        async def hold() -> None:
            async with llm.stream(asking("held")):
                await asyncio.sleep(8.0)

        task = asyncio.create_task(hold())
        await asyncio.sleep(1.0)
        async with llm.stream(asking("next")) as stream:
            await stream.response()
        await task
        return slow.began[1][0]

    assert virtual(scenario) == 8.0


def test_limits_hold_on_each_event_loop_anew() -> None:
    """A provider used by a second loop is not bound to the first."""
    llm = LimitedLLM(ScriptedLLM(["yes"], exhausted="last"), max_concurrency=1)

    for _ in range(2):
        virtual(lambda: ask_all(llm, 3))


def test_limits_without_a_limit_nothing_waits() -> None:
    """Every limit may be left out; what is set must be at least 1."""
    slow = Slow()

    virtual(lambda: ask_all(LimitedLLM(slow), 50))

    assert slow.most == 50
    with pytest.raises(InvalidRequest):
        LimitedLLM(slow, max_concurrency=0)


def test_limits_the_wrapper_is_what_it_wraps() -> None:
    """Name, model and capabilities are the inner one's."""
    inner = ScriptedLLM(["yes"])
    llm = LimitedLLM(inner, max_concurrency=1)

    assert (llm.name, llm.model_id, llm.capabilities()) == (inner.name, inner.model_id, inner.capabilities())


def test_limits_t1_waiting_ends_at_the_configured_deadline() -> None:
    """A backend's deadline bounds the wait as a call's does."""

    class Hurried(Slow):
        def deadline_of(self, options: CallOptions) -> float | None:
            return options.deadline or 2.0

    llm = LimitedLLM(Hurried(seconds=5.0), max_concurrency=1)

    async def scenario() -> float:
        first = asyncio.create_task(llm.generate(asking()))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await llm.generate(asking())
        ended = asyncio.get_running_loop().time()
        await first
        return ended

    assert virtual(scenario) == pytest.approx(2.0)


def test_limits_t3_a_storm_of_cancellations_loses_no_place_and_no_task() -> None:
    """Whenever callers go away, waiting, being answered or reading a stream, all places are free afterwards."""

    async def scenario() -> None:
        chance = random.Random(asyncio.get_running_loop().time())
        slow = Slow(seconds=1.0)
        llm = LimitedLLM(slow, max_concurrency=3, requests_per_minute=6_000)

        async def read() -> None:
            async with llm.stream(asking()) as stream:
                await stream.response()

        tasks = [asyncio.create_task(read() if n % 2 else ask_all(llm, 1)) for n in range(40)]
        for task in chance.sample(tasks, 25):
            await asyncio.sleep(0.1)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1
        assert slow.most == 3
        started = asyncio.get_running_loop().time()
        await ask_all(llm, 3)
        assert asyncio.get_running_loop().time() - started == pytest.approx(1.0)

    explore(scenario, range(30))
