"""Embedding spaces and similarity: which vectors may be compared, and how.

A space is (model, length). Only vectors of one space are ever compared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import Field
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel, TolerantEnum
from focal_core.errors import EmbeddingSpaceError, InvalidDataError
from focal_core.values import MAX_DIMENSIONS, Identifier100, to_vector

T = TypeVar("T")


class Metric(TolerantEnum):
    """How vectors of a space are compared."""

    COSINE = "cosine"


class EmbeddingSpace(FocalModel):
    """One embedding space a store knows.

    Attributes:
        id: number of the space within the store.
        model: name of the embedding model.
        dims: length of its vectors.
        metric: how they are compared.
        storage: type of the index over them; the rows stay float32.
        active: whether the space takes writes.
    """

    id: int
    model: Identifier100
    dims: int = Field(ge=1, le=MAX_DIMENSIONS)
    metric: Metric = Metric.COSINE
    storage: Literal["vector", "halfvec"] = "halfvec"
    active: bool = True


@dataclass(frozen=True)
class VectorPolicy:
    """Which embedding spaces a store takes; built from settings ``[vector]``.

    Attributes:
        embedding_model: the configured model: what a search means that names none.
        strict_spaces: True accepts vectors of ``spaces`` only.
        spaces: (model, dims) pairs registered beforehand.
    """

    embedding_model: str | None = None
    strict_spaces: bool = False
    spaces: frozenset[tuple[str, int]] = frozenset()

    def check(self, model: str | None, vector: Sequence[float] | None) -> None:
        """Refuse a vector of a space that is not registered, when spaces are strict.

        Raises:
            EmbeddingSpaceError: code ``space_unknown``.
        """
        if not self.strict_spaces or model is None or vector is None or (model, len(vector)) in self.spaces:
            return
        known = ", ".join(f"{name} ({dims})" for name, dims in sorted(self.spaces)) or "none"
        raise EmbeddingSpaceError(
            f"embedding space {model} ({len(vector)}) is not registered; registered: {known}",
            code="space_unknown",
            hint="add it to [vector] spaces, or set [vector] strict_spaces = false",
        )


def check_query(vector: Iterable[float]) -> tuple[float, ...]:
    """Return a query vector as float32 values.

    Raises:
        InvalidDataError: code ``vector_invalid``: empty, too long, zero, or not finite.
    """
    try:
        return to_vector(vector)
    except PydanticCustomError as error:
        raise InvalidDataError(f"query vector: {error.message()}", code="vector_invalid") from None


def choose_space(
    query: Sequence[float],
    embedding_model: str | None,
    policy: VectorPolicy,
    stored: Collection[tuple[str, int]],
) -> str | None:
    """Return the model whose vectors a query is compared with, or None when nothing is stored.

    Args:
        query: (dim,) floats.
        embedding_model: the model the caller names, or None.
        policy: tells the configured model.
        stored: (model, dims) of the vectors in the searched part of the store.

    Raises:
        EmbeddingSpaceError: vectors are stored but none of the query's length, or several models have that length
            and none is named or configured.
    """
    if not stored:
        return None
    fitting = sorted(model for model, dims in stored if dims == len(query))
    if not fitting:
        lengths = sorted({dims for _, dims in stored})
        raise EmbeddingSpaceError(
            f"the query has {len(query)} dimensions, stored are {', '.join(map(str, lengths))}",
            code="dimensions_mismatch",
            hint="embed the query with the model that embedded the stored texts",
        )
    wanted = embedding_model or policy.embedding_model
    if wanted is not None:
        return wanted
    if len(fitting) > 1:
        raise EmbeddingSpaceError(
            f"several embedding models have {len(query)} dimensions: {', '.join(fitting)}",
            code="space_ambiguous",
            hint="pass embedding_model=..., or configure one",
        )
    return fitting[0]


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """Return a vector scaled to length 1."""
    norm = math.hypot(*vector)
    return tuple([component / norm for component in vector])


def cosine_of_units(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the cosine of two vectors of length 1, kept within [-1.0, 1.0].

    By their distance, |a - b|^2 = 2 - 2 cos: ``math.dist`` runs in C, several times faster than a sum of products.
    Rounded to 12 digits: the vectors are float32, what lies beyond is noise that would break ties at random.
    """
    return max(-1.0, min(1.0, round(1.0 - math.dist(left, right) ** 2 / 2.0, 12)))


def cosine_to(direction: Sequence[float], vector: Sequence[float]) -> float:
    """Return the cosine of a vector of length 1 and any other, as ``cosine_of_units`` would; both (dim,) floats.

    Embeddings are of length 1 but for the rounding to float32. Scaling one of 1,536 components anew takes three times
    as long as telling its length and its distance, which give the cosine as well: |a - b|^2 = 1 + |b|^2 - 2 |b| cos.
    """
    # A slice is a plain tuple, which is handed on as it is; a subclass would be copied item by item.
    length = math.hypot(*vector[:])
    if abs(length - 1.0) > 0.001:
        return cosine_of_units(direction, unit(vector))
    distance = math.dist(direction, vector)
    return max(-1.0, min(1.0, round((1.0 + length * length - distance * distance) / (2.0 * length), 12)))


def best_first(
    scored: Iterable[tuple[float, UUID, T]], limit: int, min_score: float | None = None
) -> list[tuple[T, float]]:
    """Return (item, score) pairs by score descending, ties by id ascending, at most ``limit``."""
    kept = [row for row in scored if min_score is None or row[0] >= min_score]
    kept.sort(key=lambda row: (-row[0], row[1]))
    return [(item, score) for score, _, item in kept[:limit]]
