"""Rules that only a wire can break: what goes over it, what comes back, and what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from focal_core.errors import RateLimited, StreamInterrupted
from focal_core.providers.messages import Role
from focal_core.providers.models import CallOptions, LLMMessage, LLMRequest, TextPart, ThinkingPart
from focal_testkit.contracts.providers.fault_case import quiet
from focal_testkit.contracts.providers.faults import WireContract
from focal_testkit.contracts.providers.llm import LLMContract
from focal_testkit.contracts.providers.requests import FIELDS
from focal_testkit.contracts.providers.serving import ECHO, PROMPTNESS, Served, asking, mark_in, values_in
from focal_testkit.faults.wire import (
    TASK_NAME,
    Close,
    Exchange,
    Received,
    Step,
    Until,
    Wait,
    WireServer,
    chunk,
    stream_head,
)
from focal_testkit.faults.wire_dialect import ANSWER, REQUEST_ID, Answer, Finish, WireDialect
from focal_testkit.faults.wire_dialects import DIALECTS
from focal_testkit.requirement import requirement


class WireLLMContract(WireContract, LLMContract):
    """`LLMContract` for a provider over a wire, and what only a wire can show; a subclass gives ``connect``."""

    @property
    def wire(self) -> WireDialect:
        """The dialect."""
        return DIALECTS[self.dialect]

    def can_finish(self, finish: Finish) -> bool:
        """Return what the dialect can tell."""
        return finish in self.wire.finishes

    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        """Serve the answers from a server that speaks the dialect, whole or as a stream, as each request asks."""
        async with self.served([_answered(self.wire, answer, delay) for answer in answers]) as (served, server):
            yield served
            assert [self.wire.problems(call) for call in server.calls] == [[] for _ in server.calls]

    @asynccontextmanager
    async def served(self, script: Sequence[Exchange]) -> AsyncIterator[tuple[Served, WireServer]]:
        """Connect to a server with a script."""
        async with WireServer(script, route=self.wire.route) as server, AsyncExitStack() as stack:
            context = self.connect(self.wire.base_url(server.origin), **self.settings())
            provider = await stack.enter_async_context(context)
            yield Served(provider, lambda: [call.json() for call in server.calls], stack.aclose), server

    @requirement("LLM-R4b", since="1.1")
    async def test_provider_r4_its_own_options_go_last(self) -> None:
        """A section of ``provider_options`` for this provider is merged into the body, over everything else.

        If this fails: what the vendor added yesterday cannot be used.
        """
        async with self.served([_answered(self.wire, Answer())]) as (served, server):
            options = {served.provider.name: {"model": "model-from-options", "kit_option": {"deep": ["MARK"]}}}
            await served.provider.generate(asking(model="model-of-the-request", provider_options=options))
            async with served.provider.stream(asking(provider_options=options)) as stream:
                await stream.response()
            for call in server.calls:
                assert call.json()["model"] == "model-from-options"
                assert call.json()["kit_option"] == {"deep": ["MARK"]}

    @requirement("LLM-R6", since="1.1")
    async def test_provider_r6_thinking_goes_back_to_its_maker_only(self) -> None:
        """Thinking of this provider goes back verbatim, whole or streamed; that of another is left out.

        If this fails: a conversation with tools breaks off, or one vendor is shown another's.
        """
        foreign = ThinkingPart(text="foreign-MARK", opaque={"seal": "foreign-MARK"}, provider="another")
        async with self.serving(Answer(thinking="It digs, I think." if self.wire.thinking else None)) as served:
            whole = await served.provider.generate(asking(effort="high") if self.wire.thinking else asking())
            async with served.provider.stream(asking()) as stream:
                streamed = await stream.response()
            for response in (whole, streamed):
                parts = (foreign, *response.message.parts)
                said = LLMMessage(role="assistant", parts=parts)
                before = len(served.sent())
                await served.provider.generate(
                    LLMRequest(messages=(*asking().messages, said, LLMMessage(role="user", content="And then?")))
                )
                leaves = values_in(served.sent()[before])
                assert "foreign-MARK" not in leaves
                assert ANSWER in leaves
                thoughts = [part for part in response.message.parts if isinstance(part, ThinkingPart)]
                assert len(thoughts) == self.wire.thinking
                for thought in thoughts:
                    assert thought.provider == served.provider.name
                    assert [leaf for leaf in values_in(thought.opaque) if leaf not in leaves] == []

    @requirement("LLM-R9b", since="1.1")
    async def test_provider_r9_every_attempt_is_recorded(self) -> None:
        """The attempts of an answer tell the failed ones: outcome, status, id and how long was waited.

        If this fails: a call that was billed twice looks like one.
        """
        refusal = self.wire.refused("rate_limited", retry_after_ms="30")
        async with self.served([refusal, _answered(self.wire, Answer())]) as (served, _):
            response = await served.provider.generate(asking())
        first, last = response.attempts
        assert (first.n, first.outcome, first.status, first.request_id) == (1, "rate_limited", 429, REQUEST_ID)
        assert (last.n, last.outcome, last.status, last.request_id) == (2, "ok", 200, REQUEST_ID)
        assert last.waited >= 0.03
        assert response.usage.requests == 1

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    @requirement("LLM-R10b", since="1.1")
    async def test_provider_r10_headers_are_read(self, streamed: bool) -> None:
        """Request id and rate limits are told with an answer, and the id with an error.

        If this fails: a vendor's support cannot be asked about anything.
        """
        async with self.serving(Answer()) as served:
            if streamed:
                async with served.provider.stream(asking()) as stream:
                    response = await stream.response()
            else:
                response = await served.provider.generate(asking())
        assert response.request_id == REQUEST_ID
        assert response.rate_limit is not None
        assert (response.rate_limit.requests_remaining, response.rate_limit.tokens_remaining) == (7, 800)
        async with self.served([self.wire.refused("rate_limited", x_should_retry="false")]) as (served, _):
            with pytest.raises(RateLimited) as caught:
                await served.provider.generate(asking())
        assert (caught.value.request_id, caught.value.status) == (REQUEST_ID, 429)

    @requirement("LLM-S1c", since="1.1")
    async def test_provider_s1_leaving_early_closes_the_connection(self) -> None:
        """Leaving a stream early closes its connection within 100 ms, so that the vendor stops writing.

        If this fails: every answer that nobody waits for is paid in full.
        """
        never = asyncio.Event()
        opening = [chunk(event.encode()) for event in self.wire.opening()]
        async with self.served([[stream_head(self.wire.headers()), *opening, Until(never)]]) as (served, server):
            async with served.provider.stream(asking()) as stream:
                await anext(stream)
                assert server.open_connections == 1
            assert await server.settles_at(0, within=PROMPTNESS)

    @requirement("LLM-S4", since="1.1")
    async def test_provider_s4_a_stream_is_entered_with_its_first_event(self) -> None:
        """Entering returns when the first event is there, without waiting for the second; nothing is replaced later.

        If this fails: streaming shows nothing until all is over, or text changes under the reader's eyes.
        """
        gate = asyncio.Event()
        opening = [chunk(event.encode()) for event in self.wire.opening()]
        broken: Exchange = [stream_head(self.wire.headers()), *opening, Until(gate), Close()]
        async with self.served([broken, self.wire.streamed()]) as (served, server):
            async with asyncio.timeout(2.0), served.provider.stream(asking()) as stream:
                await anext(stream)
                gate.set()
                with pytest.raises(StreamInterrupted):
                    await stream.response()
            assert server.attempts == 1

    @pytest.mark.parametrize("moment", ["waiting", "reading"])
    @requirement("LLM-T3b", since="1.1")
    async def test_provider_t3_cancellation_leaves_no_socket(self, moment: str) -> None:
        """A cancelled call closes its connection at once, whether it was waiting for a reply or reading one.

        If this fails: the pool fills with connections that nobody reads.
        """
        never = asyncio.Event()
        opening = [chunk(event.encode()) for event in self.wire.opening()]
        steps: list[Step] = [Until(never)] if moment == "waiting" else [stream_head(), *opening, Until(never)]
        async with self.served([steps]) as (served, server):
            tasks = frozenset(asyncio.all_tasks())

            async def call() -> None:
                async with served.provider.stream(asking()) as stream:
                    await stream.response()

            calls = [asyncio.create_task(call()) for _ in range(8)]
            assert await server.counts(len(calls), within=5.0)
            # What was sent is there; the client now waits, or reads.
            await asyncio.sleep(0.02)
            for one in calls:
                one.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in done)
            assert await server.settles_at(0, within=2 * PROMPTNESS)
            assert await quiet(tasks, TASK_NAME, within=PROMPTNESS) == []

    @requirement("LLM-A5", since="1.1")
    async def test_provider_a5_one_loop_retries(self) -> None:
        """``max_attempts=1`` sends one request, whatever the server says: nobody else retries below.

        If this fails: retries multiply, and so does the bill.
        """
        for script in (self.wire.refused("server_error"), self.wire.refused("rate_limited", x_should_retry="true")):
            async with self.served([script]) as (served, server):
                for _ in range(2):
                    with pytest.raises(Exception) as caught:
                        await served.provider.generate(asking(), options=CallOptions(max_attempts=1))
                    assert len(caught.value.attempts) == 1  # type: ignore[attr-defined]
                assert server.attempts == 2

    @pytest.mark.parametrize("field", sorted(FIELDS))
    @requirement("LLM-R1c", since="1.1")
    async def test_provider_r1_streams_send_the_same(self, field: str) -> None:
        """A streamed request holds what the same request holds otherwise, beside asking for a stream.

        If this fails: an option works until somebody streams.
        """
        fields, _ = FIELDS[field]
        request = asking().model_copy(update=fields)
        async with self.serving(Answer()) as served:
            try:
                await served.provider.generate(request)
            except Exception as refusal:
                with pytest.raises(type(refusal)):
                    async with served.provider.stream(request):
                        pytest.fail("the stream was entered")
                return
            async with served.provider.stream(request) as stream:
                await stream.response()
            whole, streamed = served.sent()
        assert {key: streamed[key] for key in streamed if key not in ("stream", "stream_options")} == {
            key: whole[key] for key in whole if key != "stream"
        }

    @requirement("LLM-R8b", since="1.1")
    async def test_provider_r8_a_conversation_goes_back_as_it_came(self) -> None:
        """The text an assistant said goes back as it came, in the same order as the user's.

        If this fails: the model is told another conversation than the one it had.
        """
        texts = ["Who digs?", "The wombat – «Vombatus».", "And who rests?"]
        roles: list[Role] = ["user", "assistant", "user"]
        said = [LLMMessage(role=role, parts=(TextPart(text=text),)) for role, text in zip(roles, texts, strict=True)]
        async with self.serving(Answer()) as served:
            await served.provider.generate(LLMRequest(messages=tuple(said)))
            leaves = [leaf for leaf in values_in(served.sent()[0]) if leaf in texts]
        assert leaves == texts


def _answered(wire: WireDialect, answer: Answer, delay: float = 0.0) -> Exchange:
    def steps(request: Received) -> Sequence[Step]:
        asked = request.json()
        said = Answer(text=mark_in(asked)) if answer is ECHO else answer
        return (*([Wait(delay)] if delay else []), *(wire.streamed(said) if asked.get("stream") else wire.good(said)))

    return steps
