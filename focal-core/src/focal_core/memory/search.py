"""How episodes are found by text, and how two rankings become one; nothing here looks at a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.memory.models import Episode, SearchHit
from focal_core.memory.rules import check_rows, labels

FUSION_DEPTH = 100
"""Rows of each ranking that a hybrid search fuses at least."""

MODES = ("hybrid", "vector", "text")


def split_terms(query: str) -> list[str]:
    """Return the terms of a text query: what white space separates, case folded, each once."""
    return list(dict.fromkeys(query.casefold().split()))


def text_score(terms: Sequence[str], text: str) -> float:
    """Return the share of the words of a text that contain a term; 0.0 unless every term occurs.

    Args:
        terms: from ``split_terms``; none of them means 0.0.
        text: the text, in any letter case.
    """
    folded = text.casefold()
    if not terms or not all(term in folded for term in terms):
        return 0.0
    words = folded.split()
    return sum(any(term in word for term in terms) for word in words) / len(words)


def best_texts(query: str, episodes: Iterable[Episode]) -> list[tuple[Episode, float]]:
    """Return the episodes that have every term, with ``text_score``, best first.

    Order: score descending, then occurred_at descending, then id ascending.
    """
    terms = split_terms(query)
    scored = [(episode, text_score(terms, episode.content)) for episode in episodes]
    found = [pair for pair in scored if pair[1] > 0]
    # A stable sort by occurred_at descending keeps the ids ascending.
    found.sort(key=lambda pair: pair[0].id)
    found.sort(key=lambda pair: (pair[1], pair[0].occurred_at), reverse=True)
    return found


@dataclass(frozen=True)
class SearchRequest:
    """The checked arguments of ``search_episodes``.

    Attributes:
        text: the text query, when the mode uses it.
        embedding: the vector query, when the mode uses it.
        group_ids: the groups, each once.
        limit: rows of the result.
        rrf_k: damping of the ranks.
    """

    text: str | None
    embedding: list[float] | None
    group_ids: tuple[str, ...]
    limit: int
    rrf_k: int

    @property
    def depth(self) -> int:
        """Rows of each ranking that count."""
        return self.limit if self.text is None or self.embedding is None else max(self.limit, FUSION_DEPTH)


def check_search(
    query_text: str | None,
    query_embedding: list[float] | None,
    mode: str,
    group_ids: Iterable[str],
    limit: int,
    rrf_k: int,
) -> SearchRequest:
    """Return the arguments of a search with what the mode does not use left out.

    Raises:
        InvalidDataError: codes ``mode_invalid``, ``query_missing``, ``groups_missing``, ``identifier_invalid``,
            ``limit_invalid`` and ``rrf_k_invalid``.
    """
    if mode not in MODES:
        raise InvalidDataError(f"mode must be one of {', '.join(MODES)}, not {mode!r}", code="mode_invalid")
    text = None if mode == "vector" else query_text
    embedding = None if mode == "text" else query_embedding
    if text is None and embedding is None:
        needed = {"hybrid": "query_text or query_embedding", "vector": "query_embedding", "text": "query_text"}[mode]
        raise InvalidDataError(f"a {mode} search needs {needed}", code="query_missing")
    groups = labels(group_ids, "group_ids")
    if not groups:
        raise InvalidDataError("a search needs at least one group", code="groups_missing")
    check_rows(limit)
    if rrf_k < 0:
        raise InvalidDataError(f"rrf_k must not be negative, but is {rrf_k}", code="rrf_k_invalid")
    return SearchRequest(text, embedding, groups, limit, rrf_k)


def fuse(
    nearest: Sequence[tuple[Episode, float]] | None,
    matching: Sequence[tuple[Episode, float]] | None,
    request: SearchRequest,
) -> list[SearchHit[Episode]]:
    """Return the result of a search from the rankings of its modes.

    Args:
        nearest: (episode, cosine), best first; None when the mode is not used.
        matching: (episode, text score), best first; None when the mode is not used.
        request: tells limit, depth and rrf_k.

    Returns:
        At most ``request.limit`` hits: of one ranking in its order, of two by reciprocal rank fusion.
    """
    rankings = [ranking[: request.depth] for ranking in (nearest, matching) if ranking is not None]
    if len(rankings) == 1:
        order = [(episode, score) for episode, score in rankings[0]]
    else:
        episodes: dict[UUID, Episode] = {}
        fused: dict[UUID, float] = {}
        for ranking in rankings:
            for rank, (episode, _) in enumerate(ranking, start=1):
                episodes[episode.id] = episode
                fused[episode.id] = fused.get(episode.id, 0.0) + 1 / (request.rrf_k + rank)
        order = [(episodes[id], fused[id]) for id in sorted(fused, key=lambda id: (-fused[id], id))]
    cosines = {episode.id: score for episode, score in (nearest or ())[: request.depth]}
    texts = {episode.id: score for episode, score in (matching or ())[: request.depth]}
    return [
        SearchHit(episode, score, cosines.get(episode.id), texts.get(episode.id), rank)
        for rank, (episode, score) in enumerate(order[: request.limit], start=1)
    ]
