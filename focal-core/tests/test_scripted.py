from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field, ValidationError, create_model

from focal_core.context import BackendContext
from focal_core.errors import (
    ConfigurationError,
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    OutputError,
    OutputInvalid,
    OutputTruncated,
    RateLimited,
    Refused,
    SchemaUnsupported,
    ServerError,
    StreamInterrupted,
    Unavailable,
)
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    ImagePart,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    StreamEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
)
from focal_core.providers.schema import lint, output_type
from focal_core.providers.scripted import ScriptedBackend, ScriptedLLM, ScriptedOptions
from focal_core.providers.stream import opened_stream

T = TypeVar("T")

pytestmark = pytest.mark.asyncio


def asking(text: str = "hi", **fields: Any) -> LLMRequest:
    return LLMRequest(messages=(LLMMessage(role="user", content=text),), **fields)


def answer(*parts: Any, **fields: Any) -> LLMResponse:
    return LLMResponse(message=LLMMessage(role="assistant", parts=parts), model="m", provider="scripted", **fields)


RICH = answer(
    ThinkingPart(text="hmm, let me see", opaque={}, provider="scripted"),
    TextPart(text="I shall look it up for you."),
    ImagePart(url="https://example.org/a.png"),
    ToolCallPart(id="c1", name="find", arguments={"q": "a"}, raw_arguments='{"q": "a"}'),
    ToolCallPart(id="c2", name="find", arguments={}, raw_arguments="{}"),
    finish_reason="tool_calls",
)


async def test_items_are_answered_in_order_and_then_an_error_says_so() -> None:
    """Texts, responses, errors and functions of the request are all items; a used-up script is an error."""
    llm = ScriptedLLM(["one", RICH, RateLimited("slow down"), lambda request: request.messages[-1].text.upper()])

    assert (await llm.generate(asking())).text == "one"
    assert (await llm.generate(asking())).tool_calls == RICH.tool_calls
    with pytest.raises(RateLimited):
        await llm.generate(asking())
    assert (await llm.generate(asking("shout"))).text == "SHOUT"
    with pytest.raises(InvalidRequest) as caught:
        await llm.generate(asking())
    assert caught.value.code == "script_exhausted"


@pytest.mark.parametrize(("exhausted", "expected"), [("cycle", "ababa"), ("last", "abbbb")])
async def test_a_used_up_script_can_go_on(exhausted: Any, expected: str) -> None:
    """``cycle`` starts over, ``last`` repeats the last item."""
    llm = ScriptedLLM(["a", "b"], exhausted=exhausted)

    assert "".join([(await llm.generate_text("x")).text for _ in range(5)]) == expected


async def test_a_matching_expression_answers_without_using_up_the_script() -> None:
    """``when`` looks at the last message; the first expression that fits wins."""
    llm = ScriptedLLM(["script"], when={"refund": "R", "re": "never first"})

    assert (await llm.generate_text("a refund please")).text == "R"
    assert (await llm.generate_text("hello")).text == "script"


async def test_calls_are_recorded_and_reset_starts_over() -> None:
    """``calls`` holds every request, failed ones too; ``reset`` brings back script and random errors."""
    llm = ScriptedLLM(["a"], exhausted="cycle", error_rate=0.5, seed=4)

    async def outcomes() -> list[bool]:
        found = []
        for _ in range(12):
            try:
                await llm.generate(asking())
                found.append(True)
            except ServerError:
                found.append(False)
        return found

    first = await outcomes()
    assert len(llm.calls) == 12
    assert {True, False} == set(first)
    llm.reset()
    assert llm.calls == []
    assert await outcomes() == first


async def test_calls_fail_behind_the_given_number() -> None:
    """``fail_after_n`` calls succeed at most, and the error is one a retry loop would retry."""
    llm = ScriptedLLM(["a"], exhausted="last", fail_after_n=2)
    await llm.generate(asking())
    await llm.generate(asking())

    with pytest.raises(ServerError) as caught:
        await llm.generate(asking())

    assert caught.value.retryable
    assert [attempt.outcome for attempt in caught.value.attempts] == [caught.value.code]


async def test_one_scripted_error_does_not_gather_tracebacks() -> None:
    """Concurrent calls share nothing (R3): each raises an error object of its own."""
    error = RateLimited("slow down", retry_after=2.0)
    llm = ScriptedLLM([error], exhausted="last")

    caught = await asyncio.gather(*(llm.generate(asking()) for _ in range(3)), return_exceptions=True)

    assert len({id(one) for one in caught}) == 3
    assert [one.retry_after for one in caught if isinstance(one, RateLimited)] == [2.0, 2.0, 2.0]


async def test_concurrent_system_prompts_do_not_mix() -> None:
    """Concurrent calls share nothing (R3)."""
    llm = ScriptedLLM([lambda request: str(request.system)], exhausted="last", latency=0.001)

    answers = await asyncio.gather(*(llm.generate_text("x", system_prompt=f"s{n}") for n in range(50)))

    assert [one.text for one in answers] == [f"s{n}" for n in range(50)]


async def test_a_str_given_to_generate_is_refused_with_the_way_out() -> None:
    """R5."""
    llm = ScriptedLLM(["a"])

    with pytest.raises(InvalidRequest) as caught:
        await llm.generate("hello")  # type: ignore[arg-type]

    assert "generate_text" in str(caught.value.hint)
    assert llm.calls == []


async def test_options_for_another_provider_are_refused() -> None:
    """R4: a section naming another provider is InvalidRequest."""
    llm = ScriptedLLM(["a", "b"])
    await llm.generate(asking(provider_options={"scripted": {}}))

    with pytest.raises(InvalidRequest):
        await llm.generate(asking(provider_options={"scripted": {}, "openai": {}}))


async def test_generate_text_sets_every_field_it_is_given() -> None:
    """R1 for the short shape: nothing is dropped, and a bad value is focal's own error."""
    llm = ScriptedLLM(["a"])
    await llm.generate_text("p", system_prompt="s", max_tokens=3, temperature=0.0, stop_sequences=["x"])

    assert llm.calls == [asking("p", system="s", max_tokens=3, temperature=0.0, stop=("x",))]
    with pytest.raises(InvalidRequest):
        await llm.generate_text("p", max_tokens=0)


async def test_an_answer_tells_provider_model_request_and_attempt() -> None:
    """R10."""
    response = await ScriptedLLM(["four"]).generate(asking(model="asked"))

    assert (response.provider, response.model, response.request_id) == ("scripted", "asked", "scripted-1")
    assert [(attempt.n, attempt.outcome) for attempt in response.attempts] == [(1, "ok")]
    assert response.usage.completion_tokens == 1
    assert response.usage.prompt_tokens > 0


def joined(events: list[StreamEvent]) -> tuple[str, str, dict[int, tuple[str, str, str]]]:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    calls: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallStart):
            calls[event.index] = (event.id, event.name, "")
        elif isinstance(event, ToolCallDelta):
            id, name, json = calls[event.index]
            calls[event.index] = (id, name, json + event.json)
    return text, thinking, calls


class PlainLLM(LLMProvider):
    """What a third party gets that writes ``generate`` alone."""

    name = "plain"
    model_id = "plain-1"

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return RICH


@pytest.mark.parametrize(("llm", "longest"), [(ScriptedLLM([RICH], chunk_size=4), 4), (PlainLLM(), len(RICH.text))])
async def test_deltas_joined_are_the_final_response(llm: LLMProvider, longest: int) -> None:
    """S3, for the scripted stream and for the default one; Done comes last and once."""
    async with llm.stream(asking()) as stream:
        events = [event async for event in stream]
        final = await stream.response()

    assert await stream.response() is final
    assert max(len(event.text) for event in events if isinstance(event, TextDelta)) == longest
    assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]
    assert final.message == RICH.message
    assert joined(events) == (
        RICH.text,
        "hmm, let me see",
        {0: ("c1", "find", '{"q": "a"}'), 1: ("c2", "find", "{}")},
    )


async def test_a_stream_never_entered_sends_nothing() -> None:
    """S1."""
    llm = ScriptedLLM(["a"])

    llm.stream(asking())

    assert llm.calls == []


async def test_an_error_before_the_first_event_is_raised_on_entering() -> None:
    """S4: entering returns when the first event is ready, so nothing was handed over yet."""
    with pytest.raises(RateLimited):
        async with ScriptedLLM([RateLimited("slow")]).stream(asking()):
            pytest.fail("the stream was entered")


async def test_a_broken_stream_is_never_success() -> None:
    """S2: an error behind some events is raised by reading and by ``response``, every time."""
    llm = ScriptedLLM([StreamInterrupted("cut", partial="half of the answer")], chunk_size=5)
    async with llm.stream(asking()) as stream:
        got = [await anext(stream) for _ in range(4)]
        errors = []
        for read in (lambda: anext(stream), stream.response, lambda: anext(stream)):
            with pytest.raises(StreamInterrupted) as caught:
                await read()
            errors.append(caught.value)

    with pytest.raises(StreamInterrupted) as caught:
        await stream.response()
    assert errors == [caught.value] * 3
    assert joined(got)[0] == "half of the answer"


async def test_an_end_without_terminal_event_is_an_interruption() -> None:
    """S2: a provider that just stops is found out, with what had arrived."""

    async def stops() -> Any:
        yield TextDelta("so f")
        yield TextDelta("ar")

    async with opened_stream(stops, "broken") as stream:
        with pytest.raises(StreamInterrupted) as caught:
            await stream.response()

    assert caught.value.partial == "so far"


async def test_nothing_is_read_behind_the_terminal_event() -> None:
    """S2: reading stops at the terminal event, not at the end of the wire."""
    closed = []

    async def lingers() -> Any:
        try:
            yield Done(RICH)
            pytest.fail("read behind Done")
        finally:
            closed.append(True)

    async with opened_stream(lingers, "lingering") as stream:
        assert len([event async for event in stream]) == 1

    assert closed == [True]


async def test_leaving_early_closes_the_source_and_the_stream_stays_incomplete() -> None:
    """S1: what was left early has no response."""
    closed = []

    async def source() -> Any:
        try:
            yield TextDelta("a")
            yield TextDelta("b")
            yield Done(RICH)
        finally:
            closed.append(True)

    async with opened_stream(source, "p") as stream:
        assert await anext(stream) == TextDelta("a")

    assert closed == [True]
    with pytest.raises(StreamInterrupted):
        await stream.response()


async def test_a_closed_stream_is_not_read_on() -> None:
    """Closing is for good: what was not read stays unread, and the stream is no success."""
    async with ScriptedLLM(["ab"], chunk_size=1).stream(asking()) as stream:
        assert await anext(stream) == TextDelta("a")
        await stream.aclose()
        await stream.aclose()
        for read in (lambda: anext(stream), stream.response):
            with pytest.raises(StreamInterrupted) as caught:
                await read()
            assert caught.value.partial == "a"


async def test_an_empty_answer_streams_its_end_alone() -> None:
    """No text is no delta, whatever the size of the chunks."""

    class Silent(PlainLLM):
        async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
            return answer(TextPart(text=""))

    for llm in (ScriptedLLM([""]), Silent()):
        async with llm.stream(asking()) as stream:
            assert [type(event) for event in [event async for event in stream]] == [Done]


async def test_a_source_that_cannot_be_closed_will_do() -> None:
    """Any async iterator is a source of events, not async generators alone."""

    class Source:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> StreamEvent:
            return Done(RICH)

    async with opened_stream(Source, "p") as stream:
        assert (await stream.response()) is RICH


async def test_the_deadline_holds() -> None:
    """T1: a slow answer is DeadlineExceeded at the deadline."""
    llm = ScriptedLLM(["a"], latency=30.0)
    loop = asyncio.get_running_loop()
    started = loop.time()

    with pytest.raises(DeadlineExceeded):
        await llm.generate(asking(), options=CallOptions(deadline=0.02))

    assert loop.time() - started < 5.0


async def test_a_closed_provider_refuses_calls_for_good() -> None:
    """X4: closing twice is fine; calls afterwards are Unavailable, not to be retried."""
    llm = ScriptedLLM(["a"])
    await llm.aclose()
    await llm.aclose()

    with pytest.raises(Unavailable) as caught:
        await llm.generate(asking())
    assert (caught.value.code, caught.value.retryable) == ("closed", False)
    with pytest.raises(Unavailable):
        async with llm.stream(asking()):
            pytest.fail("the stream was entered")


class Item(BaseModel):
    name: str
    amount: int = Field(ge=1)


async def test_a_structured_answer_is_validated_and_unpacks() -> None:
    """The schema travels with the request; the result is (value, response)."""
    llm = ScriptedLLM(['{"name": "pen", "amount": 2}'])

    value, response = await llm.generate_structured("list it", Item, system_prompt="s")

    assert value == Item(name="pen", amount=2)
    assert response.text == '{"name": "pen", "amount": 2}'
    sent = llm.calls[0]
    assert sent.system == "s"
    assert sent.response_schema is not None
    assert sent.response_schema.schema["properties"].keys() == {"name", "amount"}


async def test_a_value_that_is_no_object_travels_wrapped() -> None:
    """J3."""
    llm = ScriptedLLM(['{"value": [{"name": "pen", "amount": 1}]}'])

    value, _ = await llm.generate_structured("list them", list[Item])

    assert value == [Item(name="pen", amount=1)]
    sent = llm.calls[0].response_schema
    assert sent is not None
    assert sent.schema["type"] == "object"
    assert list(sent.schema["properties"]) == ["value"]


class Tree(BaseModel):
    children: list[Tree]


class Open(BaseModel):
    fields: dict[str, int]


class Anything(BaseModel):
    items: list[Any]


@pytest.mark.parametrize(
    ("kind", "path"),
    [(Open, "$.fields"), (Anything, "$.items[]"), (Tree, "$.children[]"), (tuple[int, str], "$"), (Any, "$")],
)
async def test_a_schema_no_wire_carries_is_refused_before_sending(kind: Any, path: str) -> None:
    """J1: nothing is silently narrowed; the path says where."""
    llm = ScriptedLLM(["{}"])

    with pytest.raises(SchemaUnsupported) as caught:
        await llm.generate_structured("x", kind)

    assert caught.value.path == path
    assert llm.calls == []


class Box(BaseModel, Generic[T]):
    content: T | None


class Callback(BaseModel):
    call: Callable[[], int]


@pytest.mark.parametrize(
    ("kind", "path"),
    [(Item | Open, "$.fields"), (Box[dict[str, int]], "$.content"), (Callback, "$"), (object, "$")],
)
async def test_the_lint_looks_into_unions_and_refuses_what_has_no_schema(kind: Any, path: str) -> None:
    """J1 holds for every member of a union, and for types pydantic cannot describe."""
    with pytest.raises(SchemaUnsupported) as caught:
        output_type(kind)

    assert caught.value.path == path
    assert caught.value.reason


async def test_a_schema_that_is_just_true_allows_anything() -> None:
    """J1 for schemas not made by pydantic."""
    with pytest.raises(SchemaUnsupported) as caught:
        lint({"type": "object", "properties": {"a": {"type": "string"}, "b": True}})

    assert caught.value.path == "$.b"


async def test_schema_names_are_plain_and_short() -> None:
    """Vendors take letters, digits and underscores, up to 64."""
    long = create_model("Ä" + "n" * 80, a=(int, ...))

    assert output_type(Box[int]).schema.name == "Box_int_"
    assert output_type(list[int]).schema.name == "Value"
    assert output_type(long).schema.name == "_" + "n" * 63


@pytest.mark.parametrize(
    ("reason", "error"),
    [("length", OutputTruncated), ("refusal", Refused), ("content_filter", ContentFiltered)],
)
async def test_an_answer_that_ended_otherwise_is_told_apart_and_kept(reason: Any, error: type[OutputError]) -> None:
    """J4: even text that would validate is not taken, and no repair is asked for."""
    llm = ScriptedLLM([answer(TextPart(text='{"name": "pen", "amount": 2}'), finish_reason=reason)])

    with pytest.raises(error) as caught:
        await llm.generate_structured("x", Item, max_repairs=2)

    assert caught.value.response.text == '{"name": "pen", "amount": 2}'
    assert len(llm.calls) == 1


async def test_an_invalid_answer_is_asked_for_again_within_the_allowance() -> None:
    """J2 and J5: local bounds hold; the repair sees what was wrong; usage and responses count every call."""
    llm = ScriptedLLM(['{"name": "pen", "amount": 0}', '{"name": "pen", "amount": 2}'])

    result = await llm.generate_structured("x", Item, max_repairs=1)

    assert result.value.amount == 2
    assert len(result.responses) == 2
    assert result.usage.requests == 2
    assert "amount" in llm.calls[1].messages[-1].text
    assert llm.calls[1].messages[1].text == '{"name": "pen", "amount": 0}'


async def test_without_allowance_an_invalid_answer_is_an_error_that_does_not_show_it() -> None:
    """J4, X2: the response is kept on the error, but neither str nor repr holds it; it pickles."""
    llm = ScriptedLLM(['{"name": "a secret answer"}'])

    with pytest.raises(OutputInvalid) as caught:
        await llm.generate_structured("x", Item)

    error = caught.value
    assert error.response.text == '{"name": "a secret answer"}'
    assert "secret" not in str(error) + repr(error)
    assert error.__context__ is None
    assert pickle.loads(pickle.dumps(error)).response == error.response


async def test_repairs_share_the_deadline() -> None:
    """J5: the deadline is that of the whole call."""
    llm = ScriptedLLM(["nonsense"], exhausted="last", latency=0.15)

    with pytest.raises(DeadlineExceeded):
        await llm.generate_structured("x", Item, max_repairs=2, options=CallOptions(deadline=0.2))

    assert len(llm.calls) == 2


async def test_more_repairs_than_two_are_refused() -> None:
    """The allowance is 0 to 2."""
    with pytest.raises(InvalidRequest):
        await ScriptedLLM(["a"]).generate_structured("x", Item, max_repairs=3)


async def test_tokens_are_estimated_and_said_to_be() -> None:
    """The default count is an estimate that grows with the request."""
    llm = ScriptedLLM()
    short, long = await llm.count_tokens(asking()), await llm.count_tokens(asking("word " * 400))

    assert not short.exact
    assert 400 <= long.tokens - short.tokens <= 600


async def test_the_backend_builds_its_model_from_options() -> None:
    """Options reach the model; the port is the same object each time; closing closes it."""
    backend = ScriptedBackend(ScriptedOptions(script=["a"], when={"^q": "W"}, model="m"), BackendContext())
    await backend.open()
    llm = backend.port("llm")

    assert llm is backend.port("llm")
    assert llm.model_id == "m"
    assert (await llm.generate_text("question")).text == "W"
    assert (await backend.health()).status == "ok"
    with pytest.raises(ConfigurationError):
        backend.port("embedding")
    await backend.close()
    with pytest.raises(Unavailable):
        await llm.generate_text("x")


async def test_a_bad_expression_is_a_bad_option() -> None:
    """A regular expression that does not compile is refused with the options."""
    with pytest.raises(ValidationError):
        ScriptedOptions(when={"(": "x"})
