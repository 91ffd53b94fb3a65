from __future__ import annotations

import asyncio
import math
import random
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError, InvalidRequest, ServerError, Unavailable
from focal_core.providers import hashing
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.hashing import HashingBackend, HashingEmbeddings, HashingOptions, HashingReranker
from focal_core.providers.models import NO_OPTIONS, EmbeddingResponse, EmbeddingSpec
from focal_core.usage import TokenUsage
from focal_core.values import to_vector

pytestmark = pytest.mark.asyncio

GOLDEN = {
    "Grüße aus Köln": [
        0.0980580672621727,
        -0.5229763388633728,
        -0.0980580672621727,
        0.0,
        0.4249182939529419,
        0.0,
        0.0980580672621727,
        -0.7190924882888794,
    ],
    "the the cat": [
        0.18969199061393738,
        0.44710832834243774,
        -0.1341324895620346,
        0.0,
        -0.05555949732661247,
        0.07857299596071243,
        -0.5135164856910706,
        0.6878661513328552,
    ],
    "?!": [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
}
"""What ``focal-hashing-1`` makes of three texts in eight dimensions; another outcome is another model name."""


def cosine(left: list[float], right: list[float]) -> float:
    return sum(map(mul, left, right))


async def test_the_algorithm_is_the_one_its_name_says() -> None:
    """Stored vectors stay comparable: the golden vectors change only together with the model name."""
    embeddings = HashingEmbeddings(dimensions=8)

    response = await embeddings.embed(list(GOLDEN))

    assert embeddings.model_id == "focal-hashing-1"
    assert response.embeddings == list(GOLDEN.values())


@pytest.mark.parametrize(
    "text", ["a", " ", "\x00", "\ud800 lone", "🙂", "٣", "x" * 10_000, "word " * 5_000, "‮ابجد", "½ ﬁ ㎏"]
)
@pytest.mark.parametrize("dimensions", [1, 2, 384])
async def test_every_text_has_a_unit_vector_of_float32(text: str, dimensions: int) -> None:
    """E3 and E8: finite, of length one, already rounded, so a store keeps it as it is."""
    vector = await HashingEmbeddings(dimensions).embed_one(text)

    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-5)
    assert array("f", vector).tolist() == vector
    assert list(to_vector(vector)) == vector


async def test_case_width_and_marks_do_not_matter_but_words_do() -> None:
    """Texts are folded (NFKC, casefold); a word in common is nearer than none."""
    embeddings = HashingEmbeddings()
    plain, folded, other, misspelt = await embeddings.embed_batch(
        ["refund my order", "ＲＥＦＵＮＤ my ORDER!", "quarterly weather outlook", "refnud my ordre"]
    )

    assert plain == folded
    assert abs(cosine(plain, other)) < 0.2 < 0.3 < cosine(plain, misspelt) < 0.5


async def test_a_repeated_word_weighs_by_its_root() -> None:
    """Weight is the root of the count: repetition moves a vector, but ever less."""
    once, twice, often = await HashingEmbeddings().embed_batch(["cat dog", "cat cat dog", "cat " * 30 + "dog"])
    only = await HashingEmbeddings().embed_one("cat")

    assert cosine(once, only) < cosine(twice, only) < cosine(often, only) < 1.0


async def test_a_damaged_query_finds_its_text() -> None:
    """Half of the words deleted, the rest shuffled, some misspelt: the text is still the nearest, mostly."""
    rng = random.Random(7)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(1500)]
    texts = [" ".join(rng.choices(vocabulary, k=24)) for _ in range(200)]

    def damaged(text: str) -> str:
        words = text.split()
        rng.shuffle(words)
        return " ".join(word[:-2] + word[:-3:-1] if rng.random() < 0.3 else word for word in words[:12])

    embeddings = HashingEmbeddings()
    vectors = await embeddings.embed_batch(texts)
    found = 0
    for index in range(50):
        query = await embeddings.embed_one(damaged(texts[index]))
        found += max(range(len(vectors)), key=lambda other: cosine(query, vectors[other])) == index

    assert found >= 45


async def test_equal_texts_have_equal_vectors_that_are_not_shared() -> None:
    """E3, E5: each input has an output of its own, in order; changing one changes no other."""
    embeddings = HashingEmbeddings()
    first, other, second = (await embeddings.embed(["same", "other", "same"])).embeddings

    assert first == second != other
    first[0] = 9.0
    assert second[0] != 9.0
    assert (await embeddings.embed_one("same"))[0] != 9.0


async def test_no_text_is_no_call() -> None:
    """E1."""
    response = await HashingEmbeddings().embed([])

    assert response.embeddings == []
    assert response.usage.requests == 0
    assert await HashingEmbeddings().embed_batch([]) == []
    one = await HashingEmbeddings().embed(["a"])
    assert (one.usage.requests, one.usage.reported) == (1, False)
    assert one.spec == HashingEmbeddings().spec


@pytest.mark.parametrize(("texts", "code"), [(["a", ""], "text_empty"), ("abc", "texts_invalid")])
async def test_an_empty_text_and_a_single_str_are_refused(texts: Any, code: str) -> None:
    """E2, and a str is no sequence of texts."""
    for call in (HashingEmbeddings().embed, HashingEmbeddings().embed_batch):
        with pytest.raises(InvalidRequest) as caught:
            await call(texts)
        assert caught.value.code == code


async def test_the_space_is_known_before_any_call() -> None:
    """E9."""
    spec = HashingEmbeddings(64).spec

    assert (spec.model, spec.dimensions, spec.normalized) == ("focal-hashing-1", 64, True)
    assert HashingEmbeddings(64).dimensions == 64


async def test_long_words_do_not_fill_the_cache() -> None:
    """Caches are bounded in bytes, not in entries alone."""
    before = hashing._hash_common_word.cache_info().currsize

    await HashingEmbeddings().embed([f"{'x' * 5_000}{number}" for number in range(5)])

    assert hashing._hash_common_word.cache_info().currsize == before


class CountingEmbeddings(EmbeddingProvider):
    """Counts its calls and how many are under way; fails for the texts it is told."""

    name = "counting"

    def __init__(self, failing: str | None = None, spent: TokenUsage | None = None) -> None:
        self.spent = spent
        self.batches: list[Sequence[str]] = []
        self.finished: list[Sequence[str]] = []
        self.most = self.now = 0
        self.failing = failing

    @property
    def spec(self) -> EmbeddingSpec:
        return EmbeddingSpec(model="counting", dimensions=1, normalized=True)

    async def embed(
        self, texts: Sequence[str], *, input_kind: Any = "document", truncate: bool = False, options: Any = NO_OPTIONS
    ) -> EmbeddingResponse:
        self.batches.append(texts)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            # Earlier batches take more turns, so that they finish last.
            for _ in range(40 - 4 * len(self.batches)):
                await asyncio.sleep(0)
            if self.failing in texts:
                raise ServerError("down", usage=self.spent)
            self.finished.append(texts)
            vectors = [[float(text)] for text in texts]
            return EmbeddingResponse(embeddings=vectors, spec=self.spec, usage=TokenUsage(prompt_tokens=1))
        finally:
            self.now -= 1


async def test_many_texts_let_other_tasks_run() -> None:
    """Hashing is computing alone, so a large call gives way now and then."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await HashingEmbeddings(8).embed([f"text {number}" for number in range(640)])
    ticking.cancel()

    assert 9 <= ticks <= 12


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"concurrency": 0}, {"batch_size": -1, "concurrency": -1}])
async def test_impossible_batches_are_refused(arguments: dict[str, int]) -> None:
    """A batch has a text at least, and a call is under way at least; one of each is enough."""
    with pytest.raises(InvalidRequest):
        await HashingEmbeddings().embed_batch(["a"], **arguments)

    assert len(await HashingEmbeddings().embed_batch(["a", "b"], 1, concurrency=1)) == 2


async def test_a_bad_text_is_refused_before_any_batch_is_sent() -> None:
    """E2 for batches: an empty text in the last batch stops the first one."""
    provider = CountingEmbeddings()

    with pytest.raises(InvalidRequest):
        await provider.embed_batch(["1", "2", ""], 1)

    assert provider.batches == []


async def test_batches_keep_order_and_stay_within_the_concurrency() -> None:
    """E3, E6: batches that finish in another order are put in place; no more calls at a time than asked for."""
    provider = CountingEmbeddings()
    texts = [str(number) for number in range(1, 10)]

    vectors = await provider.embed_batch(texts, 2, concurrency=3)

    assert vectors == [[float(text)] for text in texts]
    assert [len(batch) for batch in provider.batches] == [2, 2, 2, 2, 1]
    assert provider.most == 3


@pytest.mark.parametrize("spent", [0, 5])
async def test_the_first_failure_cancels_the_rest_and_tells_what_was_spent(spent: int) -> None:
    """E6: one error, not a group; nothing goes on behind it; usage counts the finished calls and the failed one."""
    provider = CountingEmbeddings(failing="5", spent=TokenUsage(prompt_tokens=spent) if spent else None)

    with pytest.raises(ServerError) as caught:
        await provider.embed_batch([str(number) for number in range(1, 40)], 1, concurrency=2)

    sent = len(provider.batches)
    await asyncio.sleep(0.01)
    assert len(provider.batches) == sent < 39
    assert provider.now == 0
    assert len(provider.finished) > 0
    assert caught.value.usage.prompt_tokens == spent + len(provider.finished)


async def test_documents_are_reranked_best_first_with_their_places() -> None:
    """Score descending, ties by index; ``top_k`` cuts, None keeps all."""
    documents = ["bake bread", "reset a password", "bake bread", "how to reset my password"]
    response = await HashingReranker().rerank("how do I reset my password", documents)

    assert [result.index for result in response.results] == [3, 1, 0, 2]
    assert [result.document for result in response.results] == [documents[index] for index in (3, 1, 0, 2)]
    assert all(-1.0 <= result.score <= 1.0 for result in response.results)
    assert (response.model, HashingReranker().model_id) == ("focal-hashing-1", "focal-hashing-1")
    assert (response.usage.requests, response.usage.reported) == (1, False)
    best = await HashingReranker().rerank("how do I reset my password", documents, 1)
    assert best.results == response.results[:1]


async def test_reranking_refuses_nonsense_and_takes_no_documents() -> None:
    """No document is no call; ``top_k`` below one and empty texts are refused."""
    reranker = HashingReranker()

    nothing = await reranker.rerank("q", [])
    assert (nothing.results, nothing.usage.requests) == ((), 0)
    for query, documents, top_k in (("q", ["d"], 0), ("", ["d"], None), ("q", [""], None)):
        with pytest.raises(InvalidRequest):
            await reranker.rerank(query, documents, top_k)


async def test_the_backend_serves_both_ports_until_it_is_closed() -> None:
    """Options reach both providers; X4: closing twice is fine, calls afterwards are Unavailable."""
    backend = HashingBackend(HashingOptions(dimensions=16), BackendContext())
    assert backend.options == HashingOptions(dimensions=16)
    await backend.open()
    embeddings, reranker = backend.port("embedding"), backend.port("rerank")

    assert embeddings is backend.port("embedding")
    assert len(await embeddings.embed_one("x")) == 16
    report = await backend.health()
    assert (report.status, report.checks["vectors"].ok) == ("ok", True)
    assert 0.0 <= report.latency_ms < 1000.0
    with pytest.raises(ConfigurationError):
        backend.port("llm")
    await backend.close()
    await backend.close()
    for call in (embeddings.embed(["x"]), reranker.rerank("q", ["d"])):
        with pytest.raises(Unavailable) as caught:
            await call
        assert (caught.value.code, caught.value.retryable) == ("closed", False)


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"dimension": 8}])
async def test_bad_options_are_refused(options: dict[str, int]) -> None:
    """Unknown keys and impossible sizes are errors."""
    with pytest.raises(ValidationError):
        HashingOptions.model_validate(options)
