"""Rules of reranking."""

from __future__ import annotations

import pytest

from focal_core.errors import InvalidRequest, Unavailable
from focal_testkit.contracts.providers.serving import ServingContract
from focal_testkit.requirement import requirement

QUERY = "Which animal digs a burrow?"
DOCUMENTS = [
    "The quokka smiles at tourists.",
    "Which animal digs a burrow? The wombat.",
    "Rain falls on Hobart.",
    "Which animal digs a burrow? The wombat.",
    "A burrow in the sand.",
]


class RerankContract(ServingContract):
    """What every reranker does."""

    @requirement("RERANK-ORDER", since="1.1")
    async def test_provider_rerank_orders_by_score(self) -> None:
        """Results come by score descending, ties by index ascending, each with its document and place.

        If this fails: the best document is not the first.
        """
        async with self.serving() as served:
            response = await served.provider.rerank(QUERY, DOCUMENTS)
        ranked = [(-result.score, result.index) for result in response.results]
        assert ranked == sorted(ranked)
        assert sorted(result.index for result in response.results) == list(range(len(DOCUMENTS)))
        assert all(result.document == result.text == DOCUMENTS[result.index] for result in response.results)
        assert {response.results[0].index, response.results[1].index} == {1, 3}
        assert response.model

    @requirement("RERANK-TOP", since="1.1")
    async def test_provider_rerank_returns_the_best(self) -> None:
        """``top_k`` returns the first of all results; more than there are is all.

        If this fails: a limit changes the order, or drops the best.
        """
        async with self.serving() as served:
            whole = (await served.provider.rerank(QUERY, DOCUMENTS)).results
            for top_k in (1, 3, len(DOCUMENTS), 99):
                assert (await served.provider.rerank(QUERY, DOCUMENTS, top_k)).results == whole[:top_k]

    @requirement("RERANK-EMPTY", since="1.1")
    async def test_provider_rerank_of_nothing_sends_nothing(self) -> None:
        """No document is no result and no request.

        If this fails: an empty search is an error of the vendor's.
        """
        async with self.serving() as served:
            response = await served.provider.rerank(QUERY, [])
            assert response.results == ()
            assert response.usage.total_tokens == 0
            assert served.sent() == []

    @requirement("RERANK-INVALID", since="1.1")
    async def test_provider_rerank_refuses_what_cannot_be_ranked(self) -> None:
        """An empty query, an empty document, a str in place of documents, or ``top_k`` below 1 is InvalidRequest.

        If this fails: nonsense is paid for.
        """
        async with self.serving() as served:
            for query, documents, top_k in (
                ("", ["a"], None),
                ("a", ["a", ""], None),
                ("a", "a b", None),
                ("a", ["a"], 0),
            ):
                with pytest.raises(InvalidRequest):
                    await served.provider.rerank(query, documents, top_k)
            assert served.sent() == []

    @requirement("RERANK-X4", since="1.1")
    async def test_provider_x4_a_closed_provider_refuses_calls(self) -> None:
        """Closing twice is fine; a call afterwards is Unavailable with code ``closed``, which is not to be retried.

        If this fails: as for language models.
        """
        async with self.serving() as served:
            await served.close()
            await served.close()
            with pytest.raises(Unavailable) as caught:
                await served.provider.rerank(QUERY, DOCUMENTS)
            assert (caught.value.code, caught.value.retryable) == ("closed", False)
