"""Spans and metrics of calls to model providers: one span for each logical call, its attempts as events.

Needs the package ``opentelemetry-api`` (extra ``telemetry``); without a tracer or meter provider of the application it
does nothing, fast.
Prompts and answers are not in spans unless asked for, and never in metrics.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time_ns
from typing import Any

from opentelemetry import metrics, trace

from focal_core.errors import FocalError, ProviderError
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import Attempt, EmbeddingResponse, LLMResponse
from focal_core.providers.observing import Call, ObservedEmbeddings, ObservedLLM, ObservedRerank, Response, Watch
from focal_core.providers.rerank import RerankProvider
from focal_core.telemetry import genai
from focal_core.usage import TokenUsage


class Tracing:
    """Makes a span and measurements of each call.

    Args:
        content: whether spans hold prompts and answers.
        tracer_provider: the application's when None.
        meter_provider: the application's when None.
    """

    def __init__(
        self,
        *,
        content: bool = False,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.content = content
        self.tracer = trace.get_tracer(genai.INSTRUMENTATION, tracer_provider=tracer_provider)
        meter = metrics.get_meter(genai.INSTRUMENTATION, meter_provider=meter_provider)
        self.durations = meter.create_histogram(
            genai.DURATION_METRIC,
            unit="s",
            description="Duration of calls.",
            explicit_bucket_boundaries_advisory=genai.DURATION_BUCKETS,
        )
        self.tokens = meter.create_histogram(
            genai.TOKEN_METRIC,
            unit="{token}",
            description="Tokens of calls.",
            explicit_bucket_boundaries_advisory=genai.TOKEN_BUCKETS,
        )
        self.first_chunks = meter.create_histogram(
            genai.FIRST_CHUNK_METRIC,
            unit="s",
            description="Time to the first event of streams.",
            explicit_bucket_boundaries_advisory=genai.DURATION_BUCKETS,
        )

    def begin(self, call: Call) -> Watch:
        """Start a span."""
        return _Traced(self, call)


class _Traced:
    """A call with its span."""

    def __init__(self, tracing: Tracing, call: Call) -> None:
        self._tracing = tracing
        self._call = call
        self._started, self._started_ns = perf_counter(), time_ns()
        operation = genai.OPERATIONS[call.port]
        self._labels: dict[str, Any] = {
            genai.OPERATION: operation,
            genai.PROVIDER: call.provider,
            genai.REQUEST_MODEL: call.model,
        }
        self._span = tracing.tracer.start_span(
            f"{operation} {call.model}",
            kind=trace.SpanKind.CLIENT,
            attributes=self._labels,
            start_time=self._started_ns,
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the span the parent of what the provider's SDK does."""
        with trace.use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield

    def first_event(self) -> None:
        """Measure the time to the first event."""
        self._tracing.first_chunks.record(perf_counter() - self._started, self._labels)

    def ended(self, response: Response | None, error: BaseException | None) -> None:
        """Measure the call and end its span."""
        facts = error if isinstance(error, ProviderError) else response
        usage: TokenUsage | None = getattr(facts, "usage", None)
        attempts: tuple[Attempt, ...] = getattr(facts, "attempts", ())
        if isinstance(response, LLMResponse):
            # Behind a chain somebody else may have answered.
            self._labels[genai.PROVIDER] = response.provider
        if response is not None and not isinstance(response, EmbeddingResponse):
            self._labels[genai.RESPONSE_MODEL] = response.model
        if error is not None:
            self._labels[genai.ERROR_TYPE] = _error_type(error)
        self._tracing.durations.record(perf_counter() - self._started, self._labels)
        if usage is not None and usage.reported:
            for kind, tokens in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
                self._tracing.tokens.record(tokens, {**self._labels, genai.TOKEN_TYPE: kind})
        if self._span.is_recording():
            self._describe(response, usage, attempts)
            if error is not None:
                self._span.set_status(trace.StatusCode.ERROR, self._labels[genai.ERROR_TYPE])
        self._span.end()

    def _describe(self, response: Response | None, usage: TokenUsage | None, attempts: tuple[Attempt, ...]) -> None:
        call, request = self._call, self._call.request
        found: dict[str, Any] = {**self._labels, genai.ATTEMPTS: len(attempts)}
        if call.options.tenant_id is not None:
            found[genai.TENANT] = str(call.options.tenant_id)
        if request is not None:
            found[genai.REQUEST_MAX_TOKENS] = request.max_tokens
            found[genai.REQUEST_TEMPERATURE] = request.temperature
            found[genai.REQUEST_TOP_P] = request.top_p
            found[genai.REQUEST_STOP] = request.stop or None
            found.update({genai.METADATA + name: value for name, value in request.metadata.items()})
        if usage is not None and usage.reported:
            found[genai.INPUT_TOKENS] = usage.prompt_tokens
            found[genai.OUTPUT_TOKENS] = usage.completion_tokens
            found[genai.CACHE_READ_TOKENS] = usage.cache_read_tokens or None
            found[genai.CACHE_WRITE_TOKENS] = usage.cache_write_tokens or None
        if response is not None and response.cost is not None:
            found[genai.COST] = float(response.cost)
        if isinstance(response, LLMResponse):
            found[genai.RESPONSE_ID] = response.request_id
            found[genai.FINISH_REASONS] = (response.finish_reason,)
        if isinstance(response, EmbeddingResponse):
            found[genai.DIMENSIONS] = response.spec.dimensions
        if self._tracing.content and request is not None:
            found[genai.INPUT_MESSAGES] = json.dumps([one.model_dump(mode="json") for one in request.messages])
            if isinstance(response, LLMResponse):
                found[genai.OUTPUT_MESSAGES] = json.dumps([response.message.model_dump(mode="json")])
        self._span.set_attributes({name: value for name, value in found.items() if value is not None})
        moment = self._started_ns
        for attempt in attempts:
            moment += int((attempt.waited + attempt.duration) * 1_000_000_000)
            facts = attempt.model_dump(include={"n", "outcome", "status", "request_id", "duration", "waited"})
            told = {name: value for name, value in facts.items() if value is not None}
            self._span.add_event(genai.ATTEMPT_EVENT, told, timestamp=moment)


def _error_type(error: BaseException) -> str:
    if isinstance(error, FocalError):
        return error.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__


class TracedLLM(ObservedLLM):
    """A language model with a span for each call.

    Args:
        inner: what answers.
        tracing: where spans and measurements go; the application's, without content, when None.
    """

    def __init__(self, inner: LLMProvider, tracing: Tracing | None = None) -> None:
        super().__init__(inner, tracing or Tracing())


class TracedEmbeddings(ObservedEmbeddings):
    """An embedding model with a span for each call.

    Args:
        inner: what embeds.
        tracing: as ``TracedLLM``.
    """

    def __init__(self, inner: EmbeddingProvider, tracing: Tracing | None = None) -> None:
        super().__init__(inner, tracing or Tracing())


class TracedRerank(ObservedRerank):
    """A reranker with a span for each call.

    Args:
        inner: what judges.
        tracing: as ``TracedLLM``.
    """

    def __init__(self, inner: RerankProvider, tracing: Tracing | None = None) -> None:
        super().__init__(inner, tracing or Tracing())
