"""Rules of replies, streams, time, structured output and life, for every language model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from focal_core.errors import (
    DeadlineExceeded,
    StreamInterrupted,
    Unavailable,
)
from focal_core.health import HealthReport
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    LLMResponse,
    StreamEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallStart,
)
from focal_testkit.contracts.providers.fault_case import quiet
from focal_testkit.contracts.providers.requests import RequestRules
from focal_testkit.contracts.providers.serving import PROMPTNESS, asking, skip_unless_able
from focal_testkit.contracts.providers.structured import StructuredRules
from focal_testkit.faults.wire import TASK_NAME
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Call, Spent
from focal_testkit.requirement import requirement

_CALLS = (Call("call_b", "dig", '{"depth": 2}'), Call("call_a", "rest", "{}"))


def joined(events: Sequence[StreamEvent]) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Return what the deltas of a stream add up to: text, thinking, calls."""
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallStart):
            calls[event.index] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.index][2] += event.json
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    return text, thinking, [(id, name, raw) for _, (id, name, raw) in sorted(calls.items())]


def told(response: LLMResponse) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Return the same of a whole answer."""
    parts = response.message.parts
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    thinking = "".join(part.text for part in parts if isinstance(part, ThinkingPart))
    return text, thinking, [(call.id, call.name, call.raw_arguments) for call in response.tool_calls]


class LLMContract(RequestRules, StructuredRules):
    """What every language model does, with or without a wire; a subclass gives ``serving``."""

    @requirement("LLM-R8", since="1.1")
    async def test_provider_r8_text_and_tool_calls_keep_their_order(self) -> None:
        """``text`` is all text in order, and tool calls keep order, ids and arguments.

        If this fails: tools are called with each other's arguments.
        """
        async with self.serving(Answer(calls=_CALLS, finish="tool_calls")) as served:
            skip_unless_able(served.provider, "tools")
            response = await served.provider.generate(asking())
        assert response.text == response.content == response.message.text == ANSWER
        assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
            ("call_b", "dig", {"depth": 2}),
            ("call_a", "rest", {}),
        ]
        assert response.finish_reason == "tool_calls"

    @requirement("LLM-R9", since="1.1")
    async def test_provider_r9_usage_is_inclusive(self) -> None:
        """Prompt tokens include cached ones, completion tokens include reasoning; streamed and whole are the same.

        If this fails: budgets and bills are wrong by a factor.
        """
        spent = Spent()
        async with self.serving(Answer()) as served:
            whole = (await served.provider.generate(asking())).usage
            async with served.provider.stream(asking()) as stream:
                streamed = (await stream.response()).usage
        for usage in (whole, streamed):
            assert usage.reported
            assert (usage.prompt_tokens, usage.completion_tokens, usage.requests) == (spent.prompt, spent.completion, 1)
            assert usage.cache_read_tokens <= usage.prompt_tokens
            assert usage.reasoning_tokens <= usage.completion_tokens
        assert whole == streamed

    @requirement("LLM-R10", since="1.1")
    async def test_provider_r10_an_answer_names_its_origin(self) -> None:
        """Provider, model and the reason to end are told, and a response survives JSON.

        If this fails: nobody can tell who answered.
        """
        async with self.serving(Answer(finish="length")) as served:
            response = await served.provider.generate(asking())
            assert response.provider == served.provider.name
        assert response.model == Answer().model
        assert response.finish_reason == "length"
        assert response.latency_ms >= 0.0
        assert LLMResponse.model_validate_json(response.model_dump_json()) == response

    @requirement("LLM-S1", since="1.1")
    async def test_provider_s1_a_stream_never_entered_sends_nothing(self) -> None:
        """Making a stream sends nothing; entering it does.

        If this fails: unused streams are paid for.
        """
        async with self.serving(Answer()) as served:
            context = served.provider.stream(asking())
            await asyncio.sleep(0.02)
            assert served.sent() == []
            async with context as stream:
                assert len(served.sent()) == 1
                await stream.response()

    @requirement("LLM-S1b", since="1.1")
    async def test_provider_s1_a_stream_left_early_is_over(self) -> None:
        """Leaving a stream early ends it: reading on raises StreamInterrupted with what had arrived.

        If this fails: half an answer passes for a whole one.
        """
        tasks = frozenset(asyncio.all_tasks())
        async with self.serving(Answer(text=ANSWER * 50)) as served:
            async with served.provider.stream(asking()) as stream:
                first = await anext(stream)
            for read in (lambda: anext(stream), stream.response):
                with pytest.raises(StreamInterrupted) as caught:
                    await read()
                if isinstance(first, TextDelta):
                    assert str(caught.value.partial).startswith(first.text)
            assert await quiet(tasks, TASK_NAME, within=PROMPTNESS) == []

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(),
            Answer(text=ANSWER * 40),
            Answer(calls=_CALLS, finish="tool_calls"),
            Answer(text="", calls=_CALLS, finish="tool_calls"),
            Answer(thinking="Wombats dig, do they not?"),
            Answer(finish="length"),
        ],
        ids=["text", "long", "text_and_calls", "calls", "thinking", "length"],
    )
    @requirement("LLM-S3", since="1.1")
    async def test_provider_s3_deltas_joined_are_the_answer(self, answer: Answer) -> None:
        """The deltas of a stream joined are its final response; Done is last, once; a whole reply says the same.

        If this fails: what users saw is not what is stored.
        """
        async with self.serving(answer) as served:
            skip_unless_able(served.provider, "tools" if answer.calls else None)
            async with served.provider.stream(asking()) as stream:
                events = [event async for event in stream]
                final = await stream.response()
                assert await stream.response() is final
            whole = await served.provider.generate(asking())
        assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]
        assert events[-1].response is final
        assert joined(events) == told(final) == told(whole)
        assert (final.finish_reason, final.model) == (whole.finish_reason, whole.model)
        assert told(final)[2] == [(call.id, call.name, call.arguments) for call in answer.calls]

    @requirement("LLM-S5", since="1.1")
    async def test_provider_s5_a_slow_reader_is_not_an_idle_stream(self) -> None:
        """The idle timeout counts waiting for the provider, not the time the reader takes itself.

        If this fails: a stream breaks because its consumer wrote to a database.
        """
        async with self.serving(Answer(text=ANSWER * 3)) as served:
            options = CallOptions(idle_timeout=0.1)
            async with served.provider.stream(asking(), options=options) as stream:
                await anext(stream)
                await asyncio.sleep(0.25)
                assert (await stream.response()).text == ANSWER * 3

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    @requirement("LLM-T1", since="1.1")
    async def test_provider_t1_no_call_outlives_its_deadline(self, streamed: bool) -> None:
        """A call ends at its deadline with DeadlineExceeded, whatever the other side does.

        If this fails: one slow model holds everything.
        """
        options = CallOptions(deadline=0.2, max_attempts=3)
        async with self.serving(Answer(), delay=20.0) as served:
            call = (
                _entered(served.provider, options) if streamed else served.provider.generate(asking(), options=options)
            )
            started = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineExceeded) as caught:
                await call
            assert 0.19 <= asyncio.get_running_loop().time() - started <= 0.2 + PROMPTNESS
        assert not caught.value.retryable
        assert caught.value.provider == served.provider.name

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    @requirement("LLM-T3", since="1.1")
    async def test_provider_t3_cancellation_takes_effect_at_once(self, streamed: bool) -> None:
        """A cancelled call raises CancelledError at once, leaves no task, and the provider works on.

        If this fails: users who go away keep costing, or the next call fails for the last one.
        """
        async with self.serving(Answer(), delay=0.3) as served:
            tasks = frozenset(asyncio.all_tasks())

            async def call() -> None:
                if streamed:
                    async with served.provider.stream(asking()) as stream:
                        await stream.response()
                else:
                    await served.provider.generate(asking())

            task = asyncio.create_task(call())
            await asyncio.sleep(0.1)
            started = asyncio.get_running_loop().time()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.get_running_loop().time() - started <= PROMPTNESS
            assert await quiet(tasks, TASK_NAME, within=PROMPTNESS) == []
            assert (await served.provider.generate(asking())).text == ANSWER

    @requirement("LLM-X4", since="1.1")
    async def test_provider_x4_a_closed_provider_refuses_calls(self) -> None:
        """Closing twice is fine; a call afterwards is Unavailable with code ``closed``, which is not to be retried.

        If this fails: an application that shuts down loops over a client that is gone.
        """
        async with self.serving(Answer()) as served:
            await served.provider.generate(asking())
            await served.close()
            await served.close()
            for ask in (_generated, _entered):
                with pytest.raises(Unavailable) as caught:
                    await ask(served.provider)
                assert (caught.value.code, caught.value.retryable) == ("closed", False)
            assert len(served.sent()) == 1

    @requirement("LLM-HEALTH", since="1.1")
    async def test_provider_health_never_raises(self) -> None:
        """Health is a report, before and after closing; without a probe nothing is sent, and no probe is a paid call.

        If this fails: watching a provider costs money, or breaks the watcher.
        """
        async with self.serving(Answer()) as served:
            assert isinstance(await served.provider.health(), HealthReport)
            assert (await served.provider.health(probe=True)).as_dict()["status"] == "ok"
            await served.close()
            assert isinstance(await served.provider.health(), HealthReport)
            assert isinstance(await served.provider.health(probe=True), HealthReport)
            assert served.sent() == []


async def _generated(provider: Any, options: CallOptions = NO_OPTIONS) -> None:
    await provider.generate(asking(), options=options)


async def _entered(provider: Any, options: CallOptions = NO_OPTIONS) -> None:
    async with provider.stream(asking(), options=options):
        pass
