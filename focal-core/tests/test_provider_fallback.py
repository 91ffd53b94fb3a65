"""A chain of language models: who is asked, who answers, and what comes out when nobody does."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest

from focal_core.errors import (
    AllFailed,
    AttemptTimeout,
    AuthenticationFailed,
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    MalformedResponse,
    OutputInvalid,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    ServerError,
    StreamInterrupted,
)
from focal_core.providers.fallback import FallbackLLM
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    Done,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    TextDelta,
)
from focal_core.providers.stream import LLMStream, events_of, opened_stream
from focal_core.usage import TokenUsage
from focal_testkit.faults.scheduler import run

T = TypeVar("T")

ASKED = LLMRequest(messages=(LLMMessage(role="user", content="hi"),))
SPENT = TokenUsage(prompt_tokens=3, completion_tokens=1)


def virtual(test: Callable[[], Awaitable[T]]) -> T:
    async def scenario() -> T:
        return await test()

    return run(scenario, seed=1)


class Member(LLMProvider):
    """Answers by a script of texts, responses, errors, and (seconds, one of these); the last one again and again."""

    name: ClassVar[str] = "member"

    def __init__(self, name: str, *script: Any, capabilities: ProviderCapabilities | None = None) -> None:
        self.__dict__["name"] = name
        self._script = list(script)
        self._capabilities = capabilities or ProviderCapabilities()
        self.asked: list[tuple[LLMRequest, CallOptions]] = []
        self.closed = False

    @property
    def model_id(self) -> str:
        return f"{self.name}-1"

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        return self._capabilities

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        check_request(request, self.name)
        self.asked.append((request, options))
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(step, tuple):
            await asyncio.sleep(step[0])
            step = step[1]
        if isinstance(step, ProviderError):
            step.provider = self.name
            step.attempts = (Attempt(n=1, outcome=step.code, usage=step.usage),)
            raise step
        if isinstance(step, LLMResponse):
            return step
        return self.answer(step)

    def answer(self, text: str, **fields: Any) -> LLMResponse:
        return LLMResponse(
            message=LLMMessage(role="assistant", content=text),
            usage=SPENT,
            model=self.model_id,
            provider=self.name,
            attempts=(Attempt(n=1, outcome="ok", usage=SPENT),),
            **fields,
        )

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        async def events() -> AsyncIterator[StreamEvent]:
            try:
                response = await self.generate(request, options=options)
            except StreamInterrupted as error:
                yield TextDelta(str(error.partial))
                raise
            for event in events_of(response, 2):
                yield event

        return opened_stream(events, self.name)

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("busy"),
        RateLimited("slow down"),
        QuotaExceeded("spent"),
        ServerError("broken"),
        AttemptTimeout("late"),
        MalformedResponse("what?"),
    ],
)
def test_fallback_the_next_member_answers_and_is_named(error: ProviderError) -> None:
    """A member that cannot answer is followed by the next; attempts and usage of both are told."""
    error.usage = SPENT
    first, second = Member("first", error), Member("second", "hello")

    response = virtual(lambda: FallbackLLM([first, second]).generate(ASKED))

    assert (response.text, response.provider, response.model) == ("hello", "second", "second-1")
    assert [(one.n, one.outcome) for one in response.attempts] == [(1, error.code), (2, "ok")]
    assert response.usage == SPENT + SPENT


def test_fallback_other_errors_are_raised_and_nobody_else_is_asked() -> None:
    """A refused key is for the user to correct, not to be hidden by another provider."""
    first, second = Member("first", Overloaded("busy")), Member("second", AuthenticationFailed("no"))
    third = Member("third", "hello")

    async def scenario() -> AuthenticationFailed:
        with pytest.raises(AuthenticationFailed) as caught:
            await FallbackLLM([first, second, third]).generate(ASKED)
        return caught.value

    error = virtual(scenario)

    assert [one.outcome for one in error.attempts] == ["overloaded", "authentication_failed"]
    assert third.asked == []


def test_fallback_all_failed_holds_every_error_and_works_with_except_star() -> None:
    """When nobody answers, every error is there, as a group; it pickles."""
    members = [Member("first", Overloaded("busy", usage=SPENT)), Member("second", RateLimited("slow", retry_after=9.0))]

    async def scenario() -> AllFailed:
        with pytest.raises(AllFailed) as caught:
            await FallbackLLM(members).generate(ASKED)
        return caught.value

    failure = virtual(scenario)

    assert [type(error) for error in failure.exceptions] == [Overloaded, RateLimited]
    assert [one.outcome for one in failure.attempts] == ["overloaded", "rate_limited"]
    assert (failure.retryable, failure.retry_after, failure.usage) == (True, 9.0, SPENT)
    assert "first" in str(failure)
    assert "RateLimited" in str(failure)
    again = pickle.loads(pickle.dumps(failure))
    assert (str(again), again.code, [str(one) for one in again.exceptions]) == (
        str(failure),
        "all_failed",
        ["busy", "slow"],
    )
    seen = []
    try:
        raise failure
    except* RateLimited as group:
        seen.append(group)
    except* Overloaded:
        pass
    assert isinstance(seen[0], AllFailed)
    assert len(seen[0].exceptions) == 1


def test_fallback_not_retryable_when_no_member_is() -> None:
    """A chain of used-up quotas does not invite to try again."""
    members = [Member("first", QuotaExceeded("spent")), Member("second", QuotaExceeded("spent"))]

    async def scenario() -> bool:
        with pytest.raises(AllFailed) as caught:
            await FallbackLLM(members).generate(ASKED)
        return caught.value.retryable

    assert not virtual(scenario)


def test_fallback_t1_all_members_share_one_deadline() -> None:
    """The next member has what the first has left; without time nobody else is asked."""
    first, second = Member("first", (3.0, Overloaded("busy"))), Member("second", (3.0, Overloaded("busy")))
    third = Member("third", "hello")

    async def scenario() -> list[Exception]:
        with pytest.raises(AllFailed) as caught:
            await FallbackLLM([first, second, third]).generate(ASKED, options=CallOptions(deadline=5.0))
        return list(caught.value.exceptions)

    assert len(virtual(scenario)) == 2
    assert [member.asked[0][1].deadline for member in (first, second)] == [5.0, 2.0]
    assert third.asked == []


def test_fallback_t1_a_deadline_that_passes_in_a_member_is_final() -> None:
    """There is no time for anybody else."""
    second = Member("second", "hello")

    async def scenario() -> None:
        with pytest.raises(DeadlineExceeded):
            await FallbackLLM([Member("first", DeadlineExceeded("over")), second]).generate(ASKED)

    virtual(scenario)
    assert second.asked == []


def test_fallback_a_member_that_asked_to_wait_is_left_out_until_its_time_has_come() -> None:
    """Its limit is not hit again and again; then it is the first again."""
    first, second = Member("first", RateLimited("slow down", retry_after=10.0), "first again"), Member("second", "2")
    chain = FallbackLLM([first, second])

    async def scenario() -> list[str]:
        said = []
        for _ in range(3):
            said.append((await chain.generate(ASKED)).text)
            await asyncio.sleep(6.0)
        return said

    assert virtual(scenario) == ["2", "2", "first again"]
    assert len(first.asked) == 2


def test_fallback_when_all_wait_all_are_asked() -> None:
    """Nobody is left out when that would leave nobody."""
    members = [Member(name, RateLimited("slow down", retry_after=10.0), name) for name in ("first", "second")]
    chain = FallbackLLM(members)

    async def scenario() -> str:
        with pytest.raises(AllFailed):
            await chain.generate(ASKED)
        return (await chain.generate(ASKED)).text

    assert virtual(scenario) == "first"


def test_fallback_a_refusal_is_an_answer_unless_told_otherwise() -> None:
    """With on_refusal the next is asked; if nobody does better the refusal comes back."""
    second = Member("second", "hello")
    refused = second.answer("no", finish_reason="refusal", cost=Decimal(1))

    assert virtual(lambda: FallbackLLM([Member("first", refused), second]).generate(ASKED)).text == "no"

    for first in (refused, ContentFiltered("filtered")):
        chain = FallbackLLM([Member("first", first), second], on_refusal=True)
        assert virtual(lambda chain=chain: chain.generate(ASKED)).text == "hello"  # type: ignore[misc]

    last = virtual(
        lambda: FallbackLLM([Member("first", refused), Member("second", Overloaded("busy"))], on_refusal=True).generate(
            ASKED
        )
    )
    assert last.text == "no"
    assert [one.outcome for one in last.attempts] == ["ok", "overloaded"]


def test_fallback_the_cost_is_unknown_when_a_failure_spent_tokens() -> None:
    """What nobody can tell is None, never too little."""
    second = Member("second")
    second._script = [second.answer("hello", cost=Decimal(2))]

    cheap = virtual(lambda: FallbackLLM([Member("first", Overloaded("busy")), second]).generate(ASKED))
    unknown = virtual(lambda: FallbackLLM([Member("first", Overloaded("busy", usage=SPENT)), second]).generate(ASKED))

    assert (cheap.cost, unknown.cost) == (Decimal(2), None)


def test_fallback_s4_a_stream_moves_on_only_before_its_first_event() -> None:
    """What was handed over is not replaced by somebody else's words."""

    async def read(first: Member) -> tuple[list[StreamEvent], Member]:
        second = Member("second", "hello")
        events: list[StreamEvent] = []
        async with FallbackLLM([first, second]).stream(ASKED) as stream:
            async for event in stream:
                events.append(event)
        return events, second

    events, _ = virtual(lambda: read(Member("first", Overloaded("busy"))))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "hello"
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.response.provider, len(done.response.attempts)) == ("second", 2)

    broken = Member("first", StreamInterrupted("broke off", partial="he"))

    async def scenario() -> StreamInterrupted:
        with pytest.raises(StreamInterrupted) as caught:
            await read(broken)
        return caught.value

    assert virtual(scenario).partial == "he"


def test_fallback_a_stream_nobody_begins_is_all_failed() -> None:
    """As for whole answers."""

    async def scenario() -> None:
        with pytest.raises(AllFailed):
            async with FallbackLLM([Member("first", Overloaded("busy"))]).stream(ASKED):
                pass

    virtual(scenario)


def test_fallback_r4_each_member_is_handed_its_own_options() -> None:
    """A section for nobody is refused before anybody is asked."""
    first, second = Member("first", Overloaded("busy")), Member("second", "hello")
    chain = FallbackLLM([first, second])
    options: dict[str, Any] = {"first": {"a": 1}, "second": {"b": 2}}

    virtual(lambda: chain.generate(ASKED.model_copy(update={"provider_options": options})))

    assert first.asked[0][0].provider_options == {"first": {"a": 1}}
    assert second.asked[0][0].provider_options == {"second": {"b": 2}}

    async def scenario() -> None:
        with pytest.raises(InvalidRequest):
            await chain.generate(ASKED.model_copy(update={"provider_options": {"third": {}}}))

    virtual(scenario)
    assert len(first.asked) == 1


def test_fallback_structured_output_may_hold_options_of_the_members() -> None:
    """The convenience built on generate does not refuse what generate takes."""
    chain = FallbackLLM([Member("first", Overloaded("busy")), Member("second", '{"value": 7}')])
    request = ASKED.model_copy(update={"provider_options": {"second": {"b": 2}}})

    assert virtual(lambda: chain.generate_structured(request, int)).value == 7


def test_fallback_can_what_every_member_can() -> None:
    """One that cannot makes it False, one that is unknown makes it None."""
    can, cannot = ProviderCapabilities(tools=True, images=True), ProviderCapabilities(tools=True, images=False)
    chain = FallbackLLM([Member("first", "", capabilities=can), Member("second", "", capabilities=cannot)])

    assert (chain.capabilities().tools, chain.capabilities().images, chain.capabilities().files) == (True, False, None)


def test_fallback_closes_its_members_and_needs_one() -> None:
    """An empty chain is a mistake at construction."""
    members = [Member("first", ""), Member("second", "")]

    virtual(FallbackLLM(members).aclose)

    assert all(member.closed for member in members)
    with pytest.raises(InvalidRequest):
        FallbackLLM([])


def test_fallback_t1_the_configured_deadline_of_the_first_is_shared_too() -> None:
    """Without a deadline of the call, the first member's settings give one for all."""

    class Hurried(Member):
        def deadline_of(self, options: CallOptions) -> float | None:
            return options.deadline or 4.0

    first, second = Hurried("first", (3.0, Overloaded("busy"))), Member("second", "hello")

    virtual(lambda: FallbackLLM([first, second]).generate(ASKED))

    assert second.asked[0][1].deadline == 1.0


def test_provider_j5_repairs_end_at_the_configured_deadline() -> None:
    """One deadline for the first answer and its repairs, wherever it is set."""

    class Hurried(Member):
        def deadline_of(self, options: CallOptions) -> float | None:
            return options.deadline or 4.0

    member = Hurried("first", (3.0, "no json"))

    async def scenario() -> None:
        with pytest.raises(OutputInvalid):
            await member.generate_structured(ASKED, int, max_repairs=1)

    virtual(scenario)
    assert [options.deadline for _, options in member.asked] == [None, 1.0]
