"""Memory stores that break a rule of vector search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import EmbeddingSpaceError
from focal_core.inmemory.table import Table, VectorIndex
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Entity, Episode
from focal_core.vectors import VectorPolicy
from focal_testkit.mutants import mutant

Found = list[tuple[Any, float]]


@mutant("MEMORY-030", "MEMORY-031")
class ScoreIsADistance(InMemoryMemoryStore):
    """The score is a distance, and the farthest come first."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        return [(row, 1.0 - score) for row, score in reversed(super().nearest(*arguments, **options))]


@mutant("MEMORY-030")
class InnerProduct(InMemoryMemoryStore):
    """Long vectors count for more."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        found = super().nearest(*arguments, **options)
        weighted = [(row, score * sum(part * part for part in row.embedding) ** 0.5) for row, score in found]
        return sorted(weighted, key=lambda pair: -pair[1])


@mutant("MEMORY-031")
class TiesByChance(InMemoryMemoryStore):
    """Equal scores come in the order of their content."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        found = super().nearest(*arguments, **options)
        return sorted(found, key=lambda pair: (-pair[1], str(pair[0].created_at), -pair[0].id.int))


@mutant("MEMORY-027")
class TenIsTwelve(InMemoryMemoryStore):
    """Ten rows asked for are twelve rows found."""

    def nearest(self, *arguments: Any, limit: int, **options: Any) -> Found:
        return super().nearest(*arguments, limit=12 if limit == 10 else limit, **options)


@mutant("MEMORY-032")
class EmptyIsAnError(InMemoryMemoryStore):
    """A search that finds nothing is an error."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        if not (found := super().nearest(*arguments, **options)):
            raise EmbeddingSpaceError("no vectors")
        return found


@mutant("MEMORY-033")
class FiltersAfterTheLimit(InMemoryMemoryStore):
    """Rows that are not valid take places in the result."""

    def nearest(self, *arguments: Any, keep: Callable[[Any], bool], **options: Any) -> Found:
        found = super().nearest(*arguments, keep=lambda row: True, **options)
        return [(row, score) for row, score in found if keep(row)]


@mutant("MEMORY-034")
class HiddenMinimum(InMemoryMemoryStore):
    """Without min_score negative scores are left out."""

    def nearest(self, *arguments: Any, min_score: float | None, **options: Any) -> Found:
        return super().nearest(*arguments, min_score=0.0 if min_score is None else min_score, **options)


@mutant("MEMORY-034")
class MinimumIsExcluded(InMemoryMemoryStore):
    """min_score itself does not suffice."""

    def nearest(self, *arguments: Any, min_score: float | None, **options: Any) -> Found:
        above = None if min_score is None else min_score + 1e-9
        return super().nearest(*arguments, min_score=above, **options)


@mutant("MEMORY-035")
class AnyQuery(InMemoryMemoryStore):
    """A query that means nothing finds nothing."""

    def nearest(
        self, index: VectorIndex[Any], partitions: Collection[Hashable], query_embedding: Any, **options: Any
    ) -> Found:
        return super().nearest(index, partitions, query_embedding, **options) if any(query_embedding) else []


@mutant("MEMORY-036")
class WrongLengthFindsNothing(InMemoryMemoryStore):
    """A query of another length finds nothing."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        try:
            return super().nearest(*arguments, **options)
        except EmbeddingSpaceError:
            return []


@mutant("MEMORY-037", "MEMORY-057")
class AnyModel(InMemoryMemoryStore):
    """Without a name the first model is taken."""

    def ranked(
        self,
        index: VectorIndex[Any],
        partitions: Collection[Hashable],
        *rest: Any,
        embedding_model: str | None,
        **options: Any,
    ) -> Found:
        stored = set[tuple[str, int]]().union(*(index.spaces(partition) for partition in partitions))
        first = min(stored, default=(None, 0))[0]
        return super().ranked(index, partitions, *rest, embedding_model=embedding_model or first, **options)


@mutant("MEMORY-037")
class NoConfiguredModel(InMemoryMemoryStore):
    """The configured model is ignored."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(replace(context, vector_policy=VectorPolicy()) if context else None)


@mutant("MEMORY-038")
class IndexKeepsTheFirstVector(InMemoryMemoryStore):
    """An update leaves the vector as it was."""

    async def update_episode(self, episode: Episode) -> UUID:
        stored = self._episodes.get(episode.tenant_id, episode.id)
        kept = {} if stored is None else {"embedding": stored.embedding, "embedding_model": stored.embedding_model}
        return await super().update_episode(episode.model_copy(update=kept))


@mutant("MEMORY-039")
class AlwaysValid(InMemoryMemoryStore):
    """Validity is not looked at by vector searches."""

    def nearest(self, *arguments: Any, keep: Callable[[Any], bool], **options: Any) -> Found:
        return super().nearest(*arguments, keep=lambda row: True, **options)


@mutant("MEMORY-048", "MEMORY-065")
class FindsItsOwnRows(InMemoryMemoryStore):
    """Searches hand out the stored rows."""

    def nearest(self, *arguments: Any, **options: Any) -> Found:
        tables: tuple[Table[Episode] | Table[Entity], ...] = (self._episodes, self._entities)
        found = super().nearest(*arguments, **options)
        return [
            (next(own for table in tables if (own := table.get(row.tenant_id, row.id)) is not None), score)
            for row, score in found
        ]
