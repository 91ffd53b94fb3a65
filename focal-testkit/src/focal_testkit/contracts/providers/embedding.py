"""Rules of embeddings."""

from __future__ import annotations

import asyncio
from array import array
from math import fsum, isfinite, sqrt
from typing import Any

import pytest

from focal_core.errors import InvalidRequest, Unavailable
from focal_core.providers.models import EmbeddingSpec
from focal_testkit.contracts.providers.serving import Served, ServingContract
from focal_testkit.requirement import requirement

TEXTS = ["The wombat digs.", "The quokka smiles.", "The wombat digs.", "Ein Ameisenigel – «Tachyglossus».", " "]


def flat(served: Served) -> list[str]:
    """Return every text that was sent, request after request."""
    return [text for request in served.sent() for text in request]


class EmbeddingContract(ServingContract):
    """What every embedding provider does; ``serving`` tells what was sent as lists of texts."""

    @requirement("EMBED-E1", since="1.1")
    async def test_provider_e1_nothing_to_embed_sends_nothing(self) -> None:
        """No text is no vector and no request.

        If this fails: an empty batch is an error of the vendor's.
        """
        async with self.serving() as served:
            response = await served.provider.embed([])
            assert (response.embeddings, response.truncated) == ([], ())
            assert response.usage.total_tokens == 0
            assert await served.provider.embed_batch([]) == []
            assert served.sent() == []

    @pytest.mark.parametrize("texts", [[""], ["a", ""], "one text"], ids=["empty", "empty_last", "str"])
    @requirement("EMBED-E2", since="1.1")
    async def test_provider_e2_empty_texts_are_refused_before_anything_is_sent(self, texts: Any) -> None:
        """An empty text, or one str in place of several, is InvalidRequest before anything is sent.

        If this fails: a batch fails because of one text, or a word is embedded letter by letter.
        """
        async with self.serving() as served:
            for call in (served.provider.embed, served.provider.embed_batch):
                with pytest.raises(InvalidRequest):
                    await call(texts)
            assert served.sent() == []

    @requirement("EMBED-E3", since="1.1")
    async def test_provider_e3_each_text_has_its_own_vector(self) -> None:
        """Output i belongs to input i, has the declared length, is finite and not zero.

        If this fails: vectors are attached to the wrong texts, and every search is wrong in silence.
        """
        async with self.serving() as served:
            spec: EmbeddingSpec = served.provider.spec
            together = (await served.provider.embed(TEXTS)).embeddings
            alone = [(await served.provider.embed([text])).embeddings[0] for text in TEXTS]
            reverse = (await served.provider.embed(TEXTS[::-1])).embeddings
        assert together == alone == reverse[::-1]
        assert len({tuple(vector) for vector in together}) == len(set(TEXTS))
        for vector in together:
            assert len(vector) == spec.dimensions
            assert isfinite(fsum(vector))
            norm = sqrt(fsum(component * component for component in vector))
            assert norm > 0.0
            assert not spec.normalized or abs(norm - 1.0) < 1e-3

    @requirement("EMBED-E5", since="1.1")
    async def test_provider_e5_equal_texts_are_sent_once(self) -> None:
        """Equal texts of one call are sent once; each has a vector of its own to change.

        If this fails: repetitions are paid for, or changing one vector changes another.
        """
        async with self.serving() as served:
            vectors = (await served.provider.embed(["a b", "c", "a b", "a b"])).embeddings
            assert sorted(flat(served)) == ["a b", "c"]
        assert vectors[0] == vectors[2] == vectors[3]
        vectors[0][0] += 1.0
        assert vectors[2] == vectors[3] != vectors[0]

    @requirement("EMBED-E6", since="1.1")
    async def test_provider_e6_batches_keep_their_order(self) -> None:
        """``embed_batch`` returns what ``embed`` would, in order, whatever the size of the batches.

        If this fails: vectors are attached to the wrong texts as soon as there are many.
        """
        texts = [f"burrow number {number}" for number in range(23)]
        async with self.serving() as served:
            whole = (await served.provider.embed(texts)).embeddings
            for size, concurrency in ((1, 7), (5, 2), (100, 1)):
                assert await served.provider.embed_batch(texts, size, concurrency=concurrency) == whole
            with pytest.raises(InvalidRequest):
                await served.provider.embed_batch(texts, 0)
            with pytest.raises(InvalidRequest):
                await served.provider.embed_batch(texts, concurrency=0)

    @requirement("EMBED-E6b", since="1.1")
    async def test_provider_e6_one_text_is_one_vector(self) -> None:
        """``embed_one`` returns the vector of one text, as a query unless told otherwise.

        If this fails: the shortest call is another one than the long.
        """
        async with self.serving() as served:
            one = await served.provider.embed_one("The wombat digs.")
            assert one == (await served.provider.embed(["The wombat digs."], input_kind="query")).embeddings[0]

    @requirement("EMBED-E7", since="1.1")
    async def test_provider_e7_nothing_is_shortened_unasked(self) -> None:
        """A text that fits is never shortened, and ``truncated`` says so.

        If this fails: half of a document is lost in silence.
        """
        long = "the wombat digs its burrow at night " * 40
        async with self.serving() as served:
            for truncate in (False, True):
                response = await served.provider.embed([long, "short"], truncate=truncate)
                assert response.truncated == ()
            assert all(text in (long, "short") for text in flat(served))

    @requirement("EMBED-E8", since="1.1")
    async def test_provider_e8_values_are_of_float32(self) -> None:
        """Every value is one that float32 holds, so that a vector read back from any store is equal.

        If this fails: a cached or stored vector differs from a fresh one.
        """
        async with self.serving() as served:
            for vector in (await served.provider.embed(TEXTS)).embeddings:
                assert all(isinstance(component, float) for component in vector)
                assert array("f", vector).tolist() == vector

    @requirement("EMBED-E9", since="1.1")
    async def test_provider_e9_the_space_is_known_before_any_call(self) -> None:
        """``spec`` is known without a call, stays the same, and is what a response names.

        If this fails: a store is opened for vectors of another space.
        """
        async with self.serving() as served:
            spec = served.provider.spec
            assert (served.provider.model_id, served.provider.dimensions) == (spec.model, spec.dimensions)
            assert len(spec.fingerprint) == 16
            assert served.sent() == []
            response = await served.provider.embed(["a"])
            assert response.spec == spec == served.provider.spec

    @requirement("EMBED-R3", since="1.1")
    async def test_provider_r3_concurrent_calls_share_nothing(self) -> None:
        """Of many concurrent calls each gets the vectors of its own texts, and what it was given is not changed.

        If this fails: one user's search runs with another's words.
        """
        given = [[f"text {number}", f"other {number}"] for number in range(20)]
        async with self.serving(delay=0.001) as served:
            alone = [(await served.provider.embed(texts)).embeddings for texts in given]
            found = await asyncio.gather(*(served.provider.embed(texts) for texts in given))
        assert [response.embeddings for response in found] == alone
        assert given == [[f"text {number}", f"other {number}"] for number in range(20)]

    @requirement("EMBED-X4", since="1.1")
    async def test_provider_x4_a_closed_provider_refuses_calls(self) -> None:
        """Closing twice is fine; a call afterwards is Unavailable with code ``closed``, which is not to be retried.

        If this fails: as for language models.
        """
        async with self.serving() as served:
            await served.provider.embed(["a"])
            await served.close()
            await served.close()
            with pytest.raises(Unavailable) as caught:
                await served.provider.embed(["a"])
            assert (caught.value.code, caught.value.retryable) == ("closed", False)
            assert flat(served) == ["a"]
