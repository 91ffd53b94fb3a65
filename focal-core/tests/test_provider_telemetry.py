"""Spans and metrics of calls to providers: one for each call, right, and without a word of what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("opentelemetry", reason="opentelemetry-api is not installed")

from opentelemetry import trace

from focal_core.errors import Overloaded, ProviderError, StreamInterrupted
from focal_core.providers.fallback import FallbackLLM
from focal_core.providers.hashing import HashingEmbeddings, HashingReranker
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import Attempt, CallOptions, LLMMessage, LLMRequest, LLMResponse
from focal_core.providers.observing import ObservedLLM
from focal_core.providers.scripted import ScriptedLLM
from focal_core.telemetry.providers import TracedEmbeddings, TracedLLM, TracedRerank, Tracing
from focal_core.usage import TokenUsage

pytestmark = pytest.mark.asyncio

SECRET_PROMPT, SECRET_ANSWER = "the prompt nobody may see", "the answer nobody may see"
TENANT = UUID(int=7)
ASKED = LLMRequest(
    messages=(LLMMessage(role="user", content=SECRET_PROMPT),),
    system=SECRET_PROMPT,
    max_tokens=9,
    temperature=0.5,
    stop=("END",),
    metadata={"turn": "7"},
)
OPTIONS = CallOptions(tenant_id=TENANT)


class Span(trace.Span):
    """A span that keeps what it is told."""

    def __init__(self, name: str, attributes: Any) -> None:
        self.name = name
        self.attributes: dict[str, Any] = dict(attributes or {})
        self.events: list[tuple[str, dict[str, Any], int]] = []
        self.status: tuple[Any, str | None] | None = None
        self.ends = 0

    def end(self, end_time: int | None = None) -> None:
        self.ends += 1

    def get_span_context(self) -> trace.SpanContext:
        return trace.SpanContext(1, 1, is_remote=False)

    def set_attributes(self, attributes: Any) -> None:
        self.attributes.update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self.events.append((name, dict(attributes or {}), timestamp or 0))

    def update_name(self, name: str) -> None:
        self.name = name

    def is_recording(self) -> bool:
        return True

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = (status, description)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("an exception's text and traceback may hold what was said")


class Telemetry:
    """A tracer provider and a meter provider in one, which keep everything."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.measured: list[tuple[str, float, dict[str, Any]]] = []

    def get_tracer(self, *args: Any, **kwargs: Any) -> Telemetry:
        return self

    def start_span(self, name: str, *, attributes: Any, **kwargs: Any) -> Span:
        self.spans.append(Span(name, attributes))
        return self.spans[-1]

    def get_meter(self, *args: Any, **kwargs: Any) -> Telemetry:
        return self

    def create_histogram(self, name: str, **kwargs: Any) -> Any:
        telemetry = self

        class Histogram:
            def record(self, value: float, attributes: Any) -> None:
                telemetry.measured.append((name, value, dict(attributes)))

        return Histogram()

    def tracing(self, *, content: bool = False) -> Tracing:
        provider: Any = self
        return Tracing(content=content, tracer_provider=provider, meter_provider=provider)

    def everything(self) -> str:
        return repr([(vars(span)) for span in self.spans]) + repr(self.measured)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def answered(attempts: Sequence[Attempt] = ()) -> LLMResponse:
    return LLMResponse(
        message=LLMMessage(role="assistant", content=SECRET_ANSWER),
        usage=TokenUsage(prompt_tokens=30, completion_tokens=4, cache_read_tokens=20),
        model="m-2026-01-01",
        provider="scripted",
        request_id="r1",
        attempts=tuple(attempts),
        cost=Decimal("0.25"),
    )


async def test_a_call_is_one_span_with_its_attempts_as_events(telemetry: Telemetry) -> None:
    """Names follow the conventions; what was asked and spent is there."""
    attempts = (
        Attempt(n=1, outcome="overloaded", status=529, duration=1.0),
        Attempt(n=2, outcome="ok", status=200, request_id="r1", duration=2.0, waited=0.5),
    )
    llm = TracedLLM(ScriptedLLM([answered(attempts)], model="m"), telemetry.tracing())

    await llm.generate(ASKED, options=OPTIONS)

    [span] = telemetry.spans
    assert (span.name, span.ends, span.status) == ("chat m", 1, None)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.model": "m-2026-01-01",
        "gen_ai.response.id": "r1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "focal.tenant_id": str(TENANT),
        "focal.attempts": 2,
        "focal.cost_usd": 0.25,
        "focal.metadata.turn": "7",
    }
    assert [(name, told["n"], told["outcome"], told.get("status")) for name, told, _ in span.events] == [
        ("focal.attempt", 1, "overloaded", 529),
        ("focal.attempt", 2, "ok", 200),
    ]
    assert span.events[1][2] - span.events[0][2] == 2_500_000_000


async def test_metrics_are_duration_tokens_and_time_to_the_first_event(telemetry: Telemetry) -> None:
    """Each with closed labels only: no tenant, no metadata."""
    llm = TracedLLM(ScriptedLLM([answered(), answered()], model="m"), telemetry.tracing())

    await llm.generate(ASKED, options=OPTIONS)
    async with llm.stream(ASKED, options=OPTIONS) as stream:
        await stream.response()

    names = [name.removeprefix("gen_ai.client.") for name, *_ in telemetry.measured]
    whole = ["operation.duration", "token.usage", "token.usage"]
    assert names == [*whole, "operation.time_to_first_chunk", *whole]
    tokens = {labels["gen_ai.token.type"]: value for name, value, labels in telemetry.measured if "token" in name}
    assert tokens == {"input": 30, "output": 4}
    for _, value, labels in telemetry.measured:
        assert value >= 0
        assert {name.split(".")[0] for name in labels} == {"gen_ai"}


async def test_x2_prompts_and_answers_are_nowhere_unless_asked_for(telemetry: Telemetry) -> None:
    """Off by default, in success and failure; on, they are in the span and never in a metric."""
    failure = Overloaded("busy", vendor_message=SECRET_PROMPT)
    for traced in (
        TracedLLM(ScriptedLLM([answered(), failure]), telemetry.tracing()),
        TracedLLM(ScriptedLLM([answered(), failure]), telemetry.tracing()),
    ):
        await traced.generate(ASKED)
        with pytest.raises(Overloaded):
            await traced.generate(ASKED)
    embeddings = TracedEmbeddings(HashingEmbeddings(8), telemetry.tracing())
    await embeddings.embed([SECRET_PROMPT])
    await TracedRerank(HashingReranker(8), telemetry.tracing()).rerank(SECRET_PROMPT, [SECRET_ANSWER])
    assert "nobody may see" not in telemetry.everything()

    shown = Telemetry()
    await TracedLLM(ScriptedLLM([answered()]), shown.tracing(content=True)).generate(ASKED)
    assert SECRET_PROMPT in shown.spans[0].attributes["gen_ai.input.messages"]
    assert SECRET_ANSWER in shown.spans[0].attributes["gen_ai.output.messages"]
    assert "nobody may see" not in repr(shown.measured)


async def test_a_failure_is_told_by_its_code(telemetry: Telemetry) -> None:
    """Status, label and attempts, also of a stream that broke off and of a bug."""
    failure = Overloaded("busy", attempts=(Attempt(n=1, outcome="overloaded"),), usage=TokenUsage(prompt_tokens=3))

    def bug(request: LLMRequest) -> str:
        raise KeyError(SECRET_PROMPT)

    llm = TracedLLM(ScriptedLLM([failure, StreamInterrupted("cut", partial="abc"), bug]), telemetry.tracing())

    with pytest.raises(Overloaded):
        await llm.generate(ASKED)
    with pytest.raises(StreamInterrupted):
        async with llm.stream(ASKED) as stream:
            await stream.response()
    with pytest.raises(KeyError):
        await llm.generate(ASKED)

    assert [span.status for span in telemetry.spans] == [
        (trace.StatusCode.ERROR, kind) for kind in ("overloaded", "stream_interrupted", "KeyError")
    ]
    assert [span.attributes["error.type"] for span in telemetry.spans] == [
        "overloaded",
        "stream_interrupted",
        "KeyError",
    ]
    assert [span.attributes["focal.attempts"] for span in telemetry.spans] == [1, 0, 0]
    assert telemetry.spans[0].attributes["gen_ai.usage.input_tokens"] == 3
    assert all(span.ends == 1 for span in telemetry.spans)
    durations = [labels["error.type"] for name, _, labels in telemetry.measured if name.endswith("duration")]
    assert durations == ["overloaded", "stream_interrupted", "KeyError"]


async def test_cancelled_calls_and_streams_left_early_end_their_spans(telemetry: Telemetry) -> None:
    """Nothing stays open."""
    llm = TracedLLM(ScriptedLLM([answered()], exhausted="last", latency=5.0), telemetry.tracing())
    task = asyncio.create_task(llm.generate(ASKED))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    quick = TracedLLM(ScriptedLLM([answered()]), telemetry.tracing())
    async with quick.stream(ASKED) as stream:
        await anext(stream)

    assert [span.ends for span in telemetry.spans] == [1, 1]
    assert telemetry.spans[0].attributes["error.type"] == "cancelled"
    assert telemetry.spans[1].status is None


async def test_behind_a_chain_the_span_names_who_answered(telemetry: Telemetry) -> None:
    """One span for the logical call, with all attempts."""
    chain = FallbackLLM([ScriptedLLM(["never"], fail_after_n=0), ScriptedLLM(["yes"])])

    await TracedLLM(chain, telemetry.tracing()).generate(ASKED)

    [span] = telemetry.spans
    assert span.attributes["gen_ai.provider.name"] == "scripted"
    assert [told["outcome"] for _, told, _ in span.events] == ["scripted_failure", "ok"]


async def test_the_span_is_current_while_the_provider_works(telemetry: Telemetry) -> None:
    """What the vendor's SDK traces becomes its child."""
    seen: list[Any] = []

    def look(request: LLMRequest) -> str:
        seen.append(trace.get_current_span())
        return "yes"

    await TracedLLM(ScriptedLLM([look]), telemetry.tracing()).generate(ASKED)

    assert seen == [telemetry.spans[0]]
    assert trace.get_current_span() is not telemetry.spans[0]


async def test_embeddings_and_reranking_have_spans_of_their_own(telemetry: Telemetry) -> None:
    """Operation, model, dimensions."""
    await TracedEmbeddings(HashingEmbeddings(8), telemetry.tracing()).embed_batch(["a", "b"], batch_size=1)
    await TracedRerank(HashingReranker(8), telemetry.tracing()).rerank("a", ["b"])

    assert [span.name for span in telemetry.spans] == ["embeddings focal-hashing-1"] * 2 + ["rerank focal-hashing-1"]
    assert telemetry.spans[0].attributes["gen_ai.embeddings.dimension.count"] == 8


async def test_without_an_application_that_traces_nothing_is_recorded() -> None:
    """The API alone does nothing."""
    assert (await TracedLLM(ScriptedLLM(["yes"])).generate(ASKED)).text == "yes"


async def test_a_request_that_is_none_is_refused_by_the_provider(telemetry: Telemetry) -> None:
    """Watching a call does not change its errors."""
    llm: LLMProvider = ObservedLLM(ScriptedLLM(["yes"]), telemetry.tracing())

    with pytest.raises(ProviderError) as caught:
        await llm.generate("hi")  # type: ignore[arg-type]

    assert caught.value.code == "request_not_a_request"
