"""The cache of embeddings: what is asked once, what is never shared, and what happens when something fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest

from focal_core.context import BackendContext
from focal_core.errors import ContextTooLong, DeadlineExceeded, InvalidRequest, Overloaded, Unavailable
from focal_core.inmemory.backend import InMemoryBackend
from focal_core.providers.cache import CachedEmbeddings, LRUVectorCache, RuntimeVectorCache
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.hashing import hashed_vector
from focal_core.providers.models import NO_OPTIONS, Attempt, CallOptions, EmbeddingResponse, EmbeddingSpec, InputKind
from focal_core.usage import TokenUsage
from focal_testkit.faults.scheduler import explore, run

T = TypeVar("T")

OURS, THEIRS = UUID(int=1), UUID(int=2)


def virtual(test: Callable[[], Awaitable[T]]) -> T:
    async def scenario() -> T:
        return await test()

    return run(scenario, seed=1)


class Counting(EmbeddingProvider):
    """Embeds after a while, and notes what it was asked; texts longer than ten characters are shortened."""

    name: ClassVar[str] = "counting"

    def __init__(self, *, seconds: float = 0.0, asymmetric: bool = False, model: str = "counting-1") -> None:
        self._seconds = seconds
        self._spec = EmbeddingSpec(model=model, dimensions=8, normalized=True, asymmetric=asymmetric)
        self.asked: list[list[str]] = []
        self.failures: list[Exception] = []

    @property
    def spec(self) -> EmbeddingSpec:
        return self._spec

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        self.asked.append(list(texts))
        await asyncio.sleep(self._seconds)
        if self.failures:
            raise self.failures.pop(0)
        long = tuple(index for index, text in enumerate(texts) if len(text) > 10)
        if long and not truncate:
            raise ContextTooLong("too long")
        return EmbeddingResponse(
            embeddings=[hashed_vector(input_kind + text[:10], 8) for text in texts],
            spec=self._spec,
            usage=TokenUsage(prompt_tokens=len(texts)),
            attempts=(Attempt(n=1, outcome="ok"),),
            truncated=long,
            cost=Decimal(len(texts)),
        )


def cached(inner: Counting) -> CachedEmbeddings:
    return CachedEmbeddings(inner, LRUVectorCache(1_000_000))


def test_cache_a_text_is_asked_once_and_its_vector_is_the_same_to_the_bit() -> None:
    """What is cached is not asked; vectors keep the order of the texts, and cost nothing the second time."""
    inner = Counting()
    provider = cached(inner)

    async def scenario() -> tuple[EmbeddingResponse, EmbeddingResponse]:
        return await provider.embed(["a", "b"]), await provider.embed(["b", "c", "a", "b"])

    first, second = virtual(scenario)

    assert inner.asked == [["a", "b"], ["c"]]
    assert [second.embeddings[2], second.embeddings[0]] == first.embeddings
    assert second.embeddings[0] == second.embeddings[3]
    assert second.embeddings[0] is not second.embeddings[3]
    assert (second.usage.prompt_tokens, second.cost, len(second.attempts)) == (1, Decimal(1), 1)


def test_cache_all_from_the_cache_costs_nothing() -> None:
    """No request, no tokens, no attempt."""
    provider = cached(Counting())

    async def scenario() -> EmbeddingResponse:
        await provider.embed(["a"])
        return await provider.embed(["a"])

    response = virtual(scenario)

    assert (response.usage.requests, response.usage.total_tokens, response.cost) == (0, 0, Decimal(0))
    assert response.attempts == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"options": CallOptions(tenant_id=OURS)}, {"options": CallOptions(tenant_id=THEIRS)}),
        ({"options": CallOptions(tenant_id=OURS)}, {}),
        ({"input_kind": "query"}, {"input_kind": "document"}),
    ],
)
def test_cache_tenants_and_kinds_of_input_share_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A vector paid for by one tenant is not another's; an asymmetric model's kinds differ."""
    inner = Counting(asymmetric=True)
    provider = cached(inner)

    async def scenario() -> None:
        for arguments in (one, other, one, other):
            await provider.embed(["a"], **arguments)

    virtual(scenario)

    assert inner.asked == [["a"], ["a"]]


def test_cache_kinds_of_input_are_one_where_the_model_knows_no_difference() -> None:
    """A symmetric model is asked once for both."""
    inner = Counting()
    provider = cached(inner)

    async def scenario() -> None:
        await provider.embed(["a"], input_kind="query")
        await provider.embed(["a"], input_kind="document")

    virtual(scenario)

    assert inner.asked == [["a"]]


def test_cache_another_model_finds_nothing_in_a_shared_cache() -> None:
    """The space is part of the key."""
    cache = LRUVectorCache(1_000_000)
    first, second = Counting(), Counting(model="counting-2")

    async def scenario() -> None:
        await CachedEmbeddings(first, cache).embed(["a"])
        await CachedEmbeddings(second, cache).embed(["a"])

    virtual(scenario)

    assert second.asked == [["a"]]


def test_cache_calls_under_way_for_one_text_share_a_request() -> None:
    """Many at a time for the same text, and for some of the same, ask for each once."""
    inner = Counting(seconds=1.0)
    provider = cached(inner)

    async def scenario() -> list[EmbeddingResponse]:
        return await asyncio.gather(
            *(provider.embed(["a", "b"]) for _ in range(20)), *(provider.embed(["b", "c"]) for _ in range(20))
        )

    responses = virtual(scenario)

    assert sorted(text for texts in inner.asked for text in texts) == ["a", "b", "c"]
    assert responses[0].embeddings[1] == responses[-1].embeddings[0] == hashed_vector("documentb", 8)
    assert sum(response.usage.prompt_tokens for response in responses) == 3


def test_cache_failures_are_shared_but_not_kept() -> None:
    """Those who wait get the failure, each an object of its own; who comes later asks again."""
    inner = Counting(seconds=1.0)
    inner.failures = [Overloaded("busy")]
    provider = cached(inner)

    async def scenario() -> tuple[list[Any], EmbeddingResponse]:
        together = await asyncio.gather(*(provider.embed(["a"]) for _ in range(5)), return_exceptions=True)
        return together, await provider.embed(["a"])

    together, later = virtual(scenario)

    assert [type(error) for error in together] == [Overloaded] * 5
    assert len({id(error) for error in together}) == 5
    assert len(inner.asked) == 2
    assert len(later.embeddings) == 1


def test_cache_a_failure_about_other_texts_or_limits_is_not_shared() -> None:
    """Who shares one text with a call that fails for another text, or is cancelled, asks itself."""
    inner = Counting(seconds=1.0)
    provider = cached(inner)

    async def scenario() -> None:
        failing = asyncio.create_task(provider.embed(["a", "much too long a text"]))
        await asyncio.sleep(0.1)
        fine = await provider.embed(["a"])
        assert fine.embeddings == [hashed_vector("documenta", 8)]
        with pytest.raises(ContextTooLong):
            await failing

        cancelled = asyncio.create_task(provider.embed(["b"]))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(provider.embed(["b"]))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        assert (await waiting).embeddings == [hashed_vector("documentb", 8)]

    for seed in range(10):
        inner.asked.clear()
        provider = cached(inner)
        run(scenario, seed)


def test_cache_t1_waiting_for_somebody_elses_request_ends_at_the_own_deadline() -> None:
    """The other call's time is not this call's."""
    provider = cached(Counting(seconds=10.0))

    async def scenario() -> float:
        other = asyncio.create_task(provider.embed(["a"]))
        await asyncio.sleep(0.5)
        with pytest.raises(DeadlineExceeded):
            await provider.embed(["a"], options=CallOptions(deadline=2.0))
        ended = asyncio.get_running_loop().time()
        await other
        return ended

    assert virtual(scenario) == pytest.approx(2.5)


def test_cache_e7_shortened_texts_are_named_and_not_kept() -> None:
    """A shortened text's vector would hide, the next time, that the text is too long."""
    inner = Counting()
    provider = cached(inner)
    long = "much too long a text"

    async def scenario() -> None:
        for _ in range(2):
            assert (await provider.embed(["a", long, long], truncate=True)).truncated == (1, 2)
        with pytest.raises(ContextTooLong):
            await provider.embed([long])

    virtual(scenario)

    assert inner.asked == [["a", long], [long], [long]]


def test_cache_e1_e2_nothing_and_empty_texts_never_reach_the_model() -> None:
    """As the port says."""
    inner = Counting()
    provider = cached(inner)

    async def scenario() -> None:
        assert (await provider.embed([])).embeddings == []
        with pytest.raises(InvalidRequest):
            await provider.embed(["a", ""])

    virtual(scenario)

    assert inner.asked == []


def test_cache_x4_a_closed_provider_answers_nothing_from_the_cache_either() -> None:
    """Closed is closed."""
    provider = cached(Counting())

    async def scenario() -> None:
        await provider.embed(["a"])
        await provider.aclose()
        await provider.aclose()
        with pytest.raises(Unavailable) as caught:
            await provider.embed(["a"])
        assert (caught.value.code, caught.value.retryable) == ("closed", False)

    virtual(scenario)


class BrokenCache:
    """A store that is away, or slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    async def get_many(self, keys: Sequence[str], *, tenant_id: UUID | None) -> list[bytes | None]:
        await asyncio.sleep(self._seconds)
        raise ConnectionError("redis://user:pa55@host")

    async def set_many(self, values: Mapping[str, bytes], *, tenant_id: UUID | None) -> None:
        await asyncio.sleep(self._seconds)
        raise ConnectionError("redis://user:pa55@host")


def test_cache_a_cache_that_fails_costs_money_not_answers(caplog: pytest.LogCaptureFixture) -> None:
    """The model is asked; the log names the kind of failure, not what the driver says."""
    provider = CachedEmbeddings(Counting(), BrokenCache())

    with caplog.at_level(logging.DEBUG):
        response = virtual(lambda: provider.embed(["a"]))

    assert len(response.embeddings) == 1
    assert "ConnectionError" in caplog.text
    assert "pa55" not in caplog.text


def test_cache_t1_a_slow_cache_does_not_outlive_the_deadline() -> None:
    """Reading a cache is part of the call."""
    provider = CachedEmbeddings(Counting(), BrokenCache(seconds=100.0))

    async def scenario() -> float:
        with pytest.raises(DeadlineExceeded):
            await provider.embed(["a"], options=CallOptions(deadline=1.0))
        return asyncio.get_running_loop().time()

    assert virtual(scenario) == pytest.approx(1.0)


def test_cache_a_value_of_another_length_is_no_vector() -> None:
    """What somebody else wrote there is not believed."""

    class Foreign(BrokenCache):
        async def get_many(self, keys: Sequence[str], *, tenant_id: UUID | None) -> list[bytes | None]:
            return [b"\0" * 7] * len(keys)

        async def set_many(self, values: Mapping[str, bytes], *, tenant_id: UUID | None) -> None:
            return None

    response = virtual(lambda: CachedEmbeddings(Counting(), Foreign()).embed(["a"]))

    assert response.embeddings == [hashed_vector("documenta", 8)]


def test_cache_lru_keeps_to_its_size_and_forgets_what_was_not_used() -> None:
    """The least recently used goes first; replacing counts once."""

    async def scenario() -> None:
        cache = LRUVectorCache(3 * (250 + 1 + 100))
        for key in "abc":
            await cache.set_many({key: b"x" * 100}, tenant_id=None)
        await cache.get_many(["a"], tenant_id=None)
        await cache.set_many({"c": b"y" * 100, "d": b"z" * 100}, tenant_id=None)
        found = await cache.get_many(["a", "b", "c", "d"], tenant_id=None)
        assert found == [b"x" * 100, None, b"y" * 100, b"z" * 100]
        assert cache.size == 3 * (250 + 1 + 100)
        await cache.set_many({"huge": b"x" * 10_000}, tenant_id=None)
        assert cache.size == 0

    virtual(scenario)


async def _runtime() -> Any:
    backend = InMemoryBackend(InMemoryBackend.Options(), BackendContext())
    await backend.open()
    return backend.port("runtime")


@pytest.mark.asyncio
async def test_cache_over_the_runtime_port_outlives_the_provider_and_keeps_tenants_apart() -> None:
    """Any store that serves the runtime port keeps vectors; without a tenant they are under one of their own."""
    runtime = await _runtime()
    first, second = Counting(), Counting()
    texts = [f"text {n}" for n in range(40)]
    ours = CallOptions(tenant_id=OURS)

    paid = await CachedEmbeddings(first, RuntimeVectorCache(runtime)).embed(texts, options=ours)
    again = CachedEmbeddings(second, RuntimeVectorCache(runtime))

    assert (await again.embed(texts, options=ours)).embeddings == paid.embeddings
    assert second.asked == []
    await again.embed(texts[:1], options=CallOptions(tenant_id=THEIRS))
    await again.embed(texts[:1])
    await again.embed(texts[:1])
    assert second.asked == [texts[:1], texts[:1]]


def test_cache_t3_a_storm_of_cancellations_leaves_nobody_waiting() -> None:
    """Whoever stays has the vectors, whoever else goes away, and nothing is under way in the end."""

    async def scenario() -> None:
        chance = random.Random(3)
        provider = cached(Counting(seconds=1.0))
        tasks = [asyncio.create_task(provider.embed(chance.sample(["a", "b", "c", "d"], 2))) for _ in range(30)]
        await asyncio.sleep(0.5)
        for task in chance.sample(tasks, 20):
            task.cancel()
            await asyncio.sleep(chance.choice([0.0, 0.2]))
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in ended} <= {EmbeddingResponse, asyncio.CancelledError}
        assert sum(isinstance(one, EmbeddingResponse) for one in ended) >= 10
        assert provider._under_way == {}
        assert len(asyncio.all_tasks()) == 1

    explore(scenario, range(50))
