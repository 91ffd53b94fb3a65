"""Recordings: what is written, and that what is read again says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from focal_core.errors import (
    AllFailed,
    InvalidDataError,
    InvalidRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamInterrupted,
)
from focal_core.providers.models import (
    Attempt,
    ImagePart,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    ResponseSchema,
    TextDelta,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from focal_core.providers.recording import RecordingLLM
from focal_core.providers.scripted import ScriptedLLM
from focal_core.usage import TokenUsage

pytestmark = pytest.mark.asyncio

RICH = LLMResponse(
    message=LLMMessage(
        role="assistant",
        parts=(
            ThinkingPart(text="hm", opaque={"signature": "s"}, provider="scripted"),
            TextPart(text="ünï\ncode"),
            ToolCallPart(id="c1", name="find", arguments={"q": [1, None]}, raw_arguments='{"q":[1,null]}'),
        ),
    ),
    finish_reason="tool_calls",
    usage=TokenUsage(prompt_tokens=3, completion_tokens=2, cache_read_tokens=1),
    model="m",
    provider="scripted",
    attempts=(Attempt(n=1, outcome="ok", usage=TokenUsage(prompt_tokens=3, completion_tokens=2)),),
)


def asking(text: str = "hi", **fields: Any) -> LLMRequest:
    return LLMRequest(messages=(LLMMessage(role="user", content=text),), **fields)


async def replayed(error: ProviderError) -> ProviderError:
    """Return the error a replay raises where a recorded call raised this one."""
    lines: list[str] = []
    with pytest.raises(type(error)):
        await RecordingLLM(ScriptedLLM([error]), lines.append).generate(asking())
    with pytest.raises(type(error)) as caught:
        await ScriptedLLM.from_recording(lines).generate(asking())
    return caught.value


async def test_recording_what_was_answered_is_answered_again_field_by_field(tmp_path: Path) -> None:
    """Requests with everything in them are found again, in any order; the answers are equal but for the time."""
    file = tmp_path / "calls.jsonl"
    picture = LLMMessage(role="user", parts=(ImagePart(data=b"\x00\xff", media_type="image/png"),))
    rich = LLMRequest(
        messages=(picture,),
        response_schema=ResponseSchema(name="S", schema={"type": "object"}),
        metadata={"turn": "7"},
        provider_options={"scripted": {"x": [1]}},
    )
    recording = RecordingLLM(ScriptedLLM([RICH, "two", "three"]), file)
    answers = [await recording.generate(request) for request in (rich, asking("b"), asking("b"))]

    replay = ScriptedLLM.from_recording(file)
    again = [await replay.generate(request) for request in (asking("b"), rich, asking("b"))]

    assert [one.model_copy(update={"latency_ms": 0.0}) for one in again] == [
        answers[n].model_copy(update={"latency_ms": 0.0}) for n in (1, 0, 2)
    ]


async def test_recording_a_request_that_was_not_recorded_is_an_error() -> None:
    """Neither another request nor one time more is answered with something else; a reset begins anew."""
    lines: list[str] = []
    await RecordingLLM(ScriptedLLM(["one"]), lines.append).generate(asking())
    replay = ScriptedLLM.from_recording(lines)

    assert (await replay.generate(asking())).text == "one"
    for request in (asking(), asking("other")):
        with pytest.raises(InvalidRequest) as caught:
            await replay.generate(request)
        assert caught.value.code == "request_not_recorded"
    replay.reset()
    assert (await replay.generate(asking())).text == "one"


async def test_recording_in_order_answers_whatever_is_asked() -> None:
    """For prompts that differ from run to run."""
    lines: list[str] = []
    recording = RecordingLLM(ScriptedLLM(["one", "two"]), lines.append)
    for text in "ab":
        await recording.generate(asking(text))

    replay = ScriptedLLM.from_recording(reversed(lines), in_order=True)

    assert [(await replay.generate(asking("x"))).text for _ in range(2)] == ["one", "two"]


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("slow down", retry_after=3.0, status=429, request_id="r1", hint="wait", retryable=False),
        Overloaded("busy", attempts=(Attempt(n=1, outcome="overloaded"),), usage=TokenUsage(prompt_tokens=2)),
        AllFailed("nobody", [Overloaded("busy"), RateLimited("slow")], retry_after=1.0),
    ],
)
async def test_recording_errors_are_raised_again_with_their_facts(error: ProviderError) -> None:
    """Class, code, status, waits, attempts and usage are those of the recorded one."""
    again = await replayed(error)

    for name in ("message", "code", "hint", "retryable", "status", "request_id", "retry_after", "attempts", "usage"):
        assert getattr(again, name) == getattr(error, name)
    if isinstance(error, AllFailed):
        assert isinstance(again, AllFailed)
        assert [type(one) for one in again.exceptions] == [Overloaded, RateLimited]


async def test_recording_a_stream_is_written_once_and_breaks_off_where_it_did() -> None:
    """Whole streams, broken ones, and those the reader left."""
    lines: list[str] = []
    recording = RecordingLLM(
        ScriptedLLM(["hello", StreamInterrupted("cut", partial="hel"), "goodbye"], chunk_size=3), lines.append
    )

    async def text(llm: ScriptedLLM | RecordingLLM) -> str:
        seen = ""
        try:
            async with llm.stream(asking()) as stream:
                async for event in stream:
                    seen += event.text if isinstance(event, TextDelta) else ""
        except StreamInterrupted as error:
            return f"{error.partial}|"
        return seen

    assert [await text(recording) for _ in range(2)] == ["hello", "hel|"]
    async with recording.stream(asking()) as stream:
        await anext(stream)

    replay = ScriptedLLM.from_recording(lines, chunk_size=3)
    assert [await text(replay) for _ in range(3)] == ["hello", "hel|", "goo|"]
    assert [json.loads(line)["stream"] for line in lines] == [True] * 3


async def test_recording_a_stream_never_entered_is_no_call() -> None:
    """Nothing was asked, nothing is written."""
    lines: list[str] = []

    RecordingLLM(ScriptedLLM(["a"]), lines.append).stream(asking())

    assert lines == []


@pytest.mark.parametrize("line", ["no json", "{}", '{"n": 1, "request": {}, "response": null, "error": {}}', "[]"])
async def test_recording_a_file_that_is_none_is_refused_by_its_line(line: str) -> None:
    """The line is named, its content is not shown."""
    with pytest.raises(InvalidDataError, match="line 1") as caught:
        ScriptedLLM.from_recording([line])

    assert caught.value.code == "recording_invalid"
    assert "no json" not in str(caught.value)
