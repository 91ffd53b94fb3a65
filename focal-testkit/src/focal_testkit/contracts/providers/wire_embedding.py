"""Rules of embeddings that only a wire can break: batches, halves, shortening, and what a failure costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

import pytest

from focal_core.errors import ContextTooLong, DeadlineExceeded, ServerError
from focal_core.providers.models import CallOptions
from focal_testkit.contracts.providers.embedding import EmbeddingContract, flat
from focal_testkit.contracts.providers.fault_case import quiet
from focal_testkit.contracts.providers.faults import WireContract
from focal_testkit.contracts.providers.serving import Served
from focal_testkit.faults.wire import TASK_NAME, Exchange, Received, Step, Wait, WireServer
from focal_testkit.faults.wire_dialect import Answer
from focal_testkit.faults.wire_embeddings import EmbeddingsDialect, vector_of
from focal_testkit.requirement import requirement

_WIRE = EmbeddingsDialect()


class WireEmbeddingContract(WireContract, EmbeddingContract):
    """`EmbeddingContract` for a provider over a wire, and what only a wire can show; a subclass gives ``connect``."""

    dialect: ClassVar[str] = "openai-embeddings"

    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        """Serve vectors."""
        async with self.served(_when(lambda _: None, delay)) as (served, server):
            yield served
            assert [_WIRE.problems(call) for call in server.calls] == [[] for _ in server.calls]

    @asynccontextmanager
    async def served(self, exchange: Exchange) -> AsyncIterator[tuple[Served, WireServer]]:
        """Connect to a server that answers every request the same way."""
        async with WireServer([exchange], route=_WIRE.route) as server, AsyncExitStack() as stack:
            context = self.connect(_WIRE.base_url(server.origin), **self.settings())
            provider = await stack.enter_async_context(context)
            yield Served(provider, lambda: [_texts(call) for call in server.calls], stack.aclose), server

    @requirement("EMBED-E4", since="1.1")
    async def test_provider_e4_batches_keep_the_limits(self) -> None:
        """No request holds more texts than ``spec.max_batch``, and every text is sent once.

        If this fails: large inputs are refused by the vendor.
        """
        async with self.serving() as served:
            most = served.provider.spec.max_batch
            assert most is not None
            texts = [f"burrow {number}" for number in range(2 * most + 1)]
            response = await served.provider.embed(texts)
            assert all(0 < len(request) <= most for request in served.sent())
            assert sorted(flat(served)) == sorted(texts)
        assert response.embeddings == [vector_of(text) for text in texts]
        assert len(response.attempts) == response.usage.requests == len(served.sent())

    @requirement("EMBED-E4b", since="1.1")
    async def test_provider_e4_a_batch_that_is_too_large_is_halved(self) -> None:
        """A batch that the server refuses as too large is halved until it is taken; every request is recorded.

        If this fails: an estimate of tokens that is off by one loses a whole batch.
        """
        texts = [f"burrow {number}" for number in range(4)]
        async with self.served(_when(lambda sent: "context_too_long" if len(sent) > 1 else None)) as (served, server):
            response = await served.provider.embed(texts)
            assert response.embeddings == [vector_of(text) for text in texts]
            assert response.truncated == ()
            assert len(response.attempts) == server.attempts
            assert [text for text in flat(served) if flat(served).count(text) > 3] == []

    @requirement("EMBED-E7b", since="1.1")
    async def test_provider_e7_a_text_is_shortened_when_that_is_allowed(self) -> None:
        """A text that is too long is shortened until it is taken, and its index told; without leave it is refused.

        If this fails: one long document blocks all, or is cut without a word.
        """
        long = "the wombat digs " * 20
        too_long = _when(lambda sent: "context_too_long" if any(len(text) > 100 for text in sent) else None)
        async with self.served(too_long) as (served, _):
            response = await served.provider.embed(["a", long, "b"], truncate=True)
            assert response.truncated == (1,)
            kept = served.sent()[-1] + flat(served)
            taken = next(text for text in kept if long.startswith(text) and 10 < len(text) <= 100)
            assert response.embeddings == [vector_of("a"), vector_of(taken), vector_of("b")]
            with pytest.raises(ContextTooLong) as caught:
                await served.provider.embed(["a", long])
            assert caught.value.attempts

    @requirement("EMBED-E6c", since="1.1")
    async def test_provider_e6_the_first_failure_is_the_only_one(self) -> None:
        """At most ``concurrency`` requests are under way; the first failure cancels the rest and tells what was spent.

        If this fails: a failed batch costs as much as a good one, and raises a bundle of errors.
        """
        most = 0
        tasks = frozenset(asyncio.all_tasks())

        def fails(sent: Sequence[str]) -> str | None:
            nonlocal most
            most = max(most, server.open_connections)
            return "server_error" if "burrow 4" in sent else None

        texts = [f"burrow {number}" for number in range(40)]
        async with self.served(_when(fails, 0.03)) as (served, server):
            with pytest.raises(ServerError) as caught:
                await served.provider.embed_batch(texts, 1, concurrency=2)
            assert len(server.calls) <= 12
            assert most <= 2
            assert caught.value.usage is not None
            assert caught.value.usage.prompt_tokens >= 3 * 3
            assert await quiet(tasks, TASK_NAME, within=0.5) == []

    @requirement("EMBED-T1", since="1.1")
    async def test_provider_t1_the_deadline_holds_for_all_batches(self) -> None:
        """The deadline of a call holds for all its requests together.

        If this fails: a call takes as many deadlines as it has batches.
        """
        loop = asyncio.get_running_loop()
        async with self.served(_when(lambda sent: "context_too_long" if len(sent) > 1 else None, 0.08)) as (served, _):
            started = loop.time()
            with pytest.raises(DeadlineExceeded):
                await served.provider.embed([f"burrow {n}" for n in range(4)], options=CallOptions(deadline=0.2))
            assert loop.time() - started <= 0.3

    @requirement("EMBED-T3", since="1.1")
    async def test_provider_t3_cancellation_leaves_no_socket(self) -> None:
        """A cancelled call raises CancelledError at once and closes its connections.

        If this fails: as for language models.
        """
        async with self.served(_when(lambda _: None, 20.0)) as (served, server):
            tasks = frozenset(asyncio.all_tasks())
            call = asyncio.create_task(served.provider.embed_batch(["a", "b", "c"], 1, concurrency=3))
            assert await server.counts(3, within=5.0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await server.settles_at(0, within=0.2)
            assert await quiet(tasks, TASK_NAME, within=0.1) == []


def _texts(call: Received) -> list[str]:
    given = call.json()["input"]
    return [given] if isinstance(given, str) else given


def _when(refused: Callable[[Sequence[str]], str | None], delay: float = 0.0) -> Exchange:
    def steps(request: Received) -> Sequence[Step]:
        kind = refused(_texts(request))
        answered = _WIRE.answered()
        assert callable(answered)
        waiting = [Wait(delay)] if delay else []
        return (*waiting, *(answered(request) if kind is None else _WIRE.refused(kind, x_should_retry="false")))

    return steps
