"""Several language models behind one: when the first cannot answer, the next one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from decimal import Decimal
from time import perf_counter
from typing import ClassVar

from focal_core.errors import (
    AllFailed,
    ContentFiltered,
    InvalidRequest,
    MalformedResponse,
    ProviderError,
    QuotaExceeded,
    Refused,
    Throttled,
    Unavailable,
)
from focal_core.health import HealthReport, combined
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    Done,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    TokenCount,
)
from focal_core.providers.stream import LLMStream, opened_stream
from focal_core.usage import TokenUsage

FAIL_OVER: tuple[type[ProviderError], ...] = (Throttled, QuotaExceeded, Unavailable, MalformedResponse)


class FallbackLLM(LLMProvider):
    """The first of several language models that can answer.

    All of them share the deadline of a call. One that asked to wait is left out until its time has come, unless all
    did. A stream moves on only before its first event. ``response.provider`` tells who answered; attempts and usage
    are those of all that were asked. ``provider_options`` may hold a section for each; a model named in a request is
    asked of each.

    Args:
        members: at least one, the preferred one first.
        on: errors behind which the next one is asked; any other is raised.
        on_refusal: ask the next one also when one refuses or a filter stops it; the last refusal is returned when
            nobody answers. A stream that has begun is not taken back.
    """

    name: ClassVar[str] = "fallback"

    def __init__(
        self,
        members: Sequence[LLMProvider],
        *,
        on: Sequence[type[ProviderError]] = FAIL_OVER,
        on_refusal: bool = False,
    ) -> None:
        if not members:
            raise InvalidRequest("a fallback chain needs at least one member", provider=self.name)
        self._members = tuple(members)
        self._on = (*on, Refused, ContentFiltered) if on_refusal else tuple(on)
        self._on_refusal = on_refusal
        self._waits_until = [0.0] * len(self._members)
        self._closed = False

    @property
    def model_id(self) -> str:
        """The model of the first member."""
        return self._members[0].model_id

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the answer of the first member that has one.

        Raises:
            AllFailed: every member that was asked failed with one of ``on``.
            ProviderError: one failed otherwise.
        """
        call = _Call(self._parts(request), options, self.deadline_of(options), self._waits_until)
        refusal: LLMResponse | None = None
        for member, part, left in call:
            try:
                response = await member.generate(part, options=left)
            except ProviderError as error:
                call.failed(error)
                if not isinstance(error, self._on):
                    raise
                continue
            call.answered(response)
            if not self._on_refusal or response.finish_reason not in ("refusal", "content_filter"):
                return call.settled(response)
            refusal = response
        if refusal is not None:
            return call.settled(refusal)
        raise call.all_failed()

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the stream of the first member that begins one."""

        async def events() -> AsyncIterator[StreamEvent]:
            call = _Call(self._parts(request), options, self.deadline_of(options), self._waits_until)
            for member, part, left in call:
                async with AsyncExitStack() as stack:
                    try:
                        stream = await stack.enter_async_context(member.stream(part, options=left))
                    except ProviderError as error:
                        call.failed(error)
                        if not isinstance(error, self._on):
                            raise
                        continue
                    try:
                        async for event in stream:
                            if isinstance(event, Done):
                                call.answered(event.response)
                                event = Done(call.settled(event.response))
                            yield event
                    except ProviderError as error:
                        call.failed(error)
                        raise
                    return
            raise call.all_failed()

        return opened_stream(events, self.name)

    def deadline_of(self, options: CallOptions) -> float | None:
        """Return the deadline of the first member, which is shared by all."""
        return self._members[0].deadline_of(options)

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        """Return the count of the first member."""
        return await self._members[0].count_tokens(self._parts(request)[0][1])

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what every member can do: False where one cannot, None where one is unknown."""
        known = [member.capabilities(model) for member in self._members]
        able = {name: [getattr(one, name) for one in known] for name in ProviderCapabilities.model_fields}
        return ProviderCapabilities(
            **{name: False if False in all_ else None if None in all_ else True for name, all_ in able.items()}
        )

    async def health(self, *, probe: bool = False) -> HealthReport:
        """Return how the members are together."""
        started = perf_counter()
        reports = await asyncio.gather(*(member.health(probe=probe) for member in self._members))
        named = {f"{n}.{one.backend}": one for n, one in enumerate(reports, 1)}
        enough = named if any(one.status != "down" for one in reports) else ()
        report = combined(named, {}, (perf_counter() - started) * 1000, dispensable=enough)
        return report.model_copy(update={"backend": self.name})

    async def aclose(self) -> None:
        """Refuse calls from now on, and close the members."""
        self._closed = True
        for member in self._members:
            await member.aclose()

    def _parts(self, request: LLMRequest) -> list[tuple[LLMProvider, LLMRequest]]:
        """Return each member with the request as it is meant for it."""
        if self._closed:
            raise Unavailable("the provider is closed", provider=self.name, code="closed", retryable=False)
        check_request(request, self.name, served={member.name for member in self._members})
        sections = request.provider_options
        if not sections:
            return [(member, request) for member in self._members]
        return [
            (
                member,
                request.model_copy(
                    update={"provider_options": {key: own for key, own in sections.items() if key == member.name}}
                ),
            )
            for member in self._members
        ]


class _Call:
    """One call: who is asked next and with how much time, and what those asked before have left behind."""

    def __init__(
        self,
        parts: Sequence[tuple[LLMProvider, LLMRequest]],
        options: CallOptions,
        deadline: float | None,
        waits_until: list[float],
    ) -> None:
        self._parts = parts
        self._options = options
        self._waits_until = waits_until
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._ends = None if deadline is None else self._started + deadline
        self._asked = 0
        self._errors: list[ProviderError] = []
        self._attempts: tuple[Attempt, ...] = ()
        self._usage: TokenUsage | None = None
        self._cost: Decimal | None = Decimal(0)

    def __iter__(self) -> Iterator[tuple[LLMProvider, LLMRequest, CallOptions]]:
        everyone = range(len(self._parts))
        for self._asked in [n for n in everyone if self._waits_until[n] <= self._clock()] or everyone:
            left = self._options
            if self._ends is not None:
                seconds = self._ends - self._clock()
                if seconds <= 0:
                    return
                left = left.model_copy(update={"deadline": seconds})
            yield *self._parts[self._asked], left

    def failed(self, error: ProviderError) -> None:
        """Note an error, and give it what was tried and spent before."""
        if error.retry_after is not None:
            self._waits_until[self._asked] = self._clock() + error.retry_after
        self._errors.append(error)
        if error.usage is not None:
            # Tokens were spent, and what they cost nobody says.
            self._cost = None
        self._add(error.attempts, error.usage)
        error.attempts, error.usage = self._attempts, self._usage

    def answered(self, response: LLMResponse) -> None:
        """Note an answer."""
        self._add(response.attempts, response.usage)
        self._cost = None if self._cost is None or response.cost is None else self._cost + response.cost

    def settled(self, response: LLMResponse) -> LLMResponse:
        """Return an answer with what all that were asked have tried and spent."""
        latency_ms = (self._clock() - self._started) * 1000
        usage = self._usage or response.usage
        return response.model_copy(
            update={"attempts": self._attempts, "usage": usage, "cost": self._cost, "latency_ms": latency_ms}
        )

    def all_failed(self) -> AllFailed:
        """Return the error for a call that nobody answered."""
        errors = self._errors
        told = "; ".join(f"{error.provider or '?'}: {type(error).__name__}: {error}" for error in errors)
        waits = [error.retry_after for error in errors if error.retry_after is not None]
        return AllFailed(
            f"none of {len(self._parts)} providers answered: {told}",
            errors,
            provider=FallbackLLM.name,
            hint="; ".join(dict.fromkeys(error.hint for error in errors if error.hint)) or None,
            retry_after=min(waits, default=None),
            attempts=self._attempts,
            usage=self._usage,
        )

    def _add(self, attempts: Iterable[Attempt], usage: TokenUsage | None) -> None:
        start = len(self._attempts)
        self._attempts += tuple(one.model_copy(update={"n": start + n}) for n, one in enumerate(attempts, 1))
        if usage is not None and usage.reported:
            self._usage = usage if self._usage is None else self._usage + usage
