"""Vectors as the embeddings wire brings them, read and checked: one for each text, or none at all."""

from __future__ import annotations

import json
import sys
from array import array
from base64 import b64decode
from dataclasses import dataclass
from math import isfinite
from typing import Any

from focal_core.usage import TokenUsage
from focal_providers.openai.parts import usage


@dataclass(frozen=True)
class ReadEmbeddings:
    """What a reply brought, not yet checked.

    Attributes:
        rows: JSON of its vectors.
        usage: tokens spent.
    """

    rows: Any
    usage: TokenUsage

    def placed(self, count: int, dimensions: int) -> list[list[float]]:
        """Return the vectors in the order of the texts, as float32.

        Args:
            count: of the texts.
            dimensions: length of every vector.

        Raises:
            ValueError: there is not exactly one usable vector for each text; likewise TypeError and LookupError.
        """
        placed: list[list[float] | None] = [None] * count
        for row in self.rows:
            index = row["index"]
            if not isinstance(index, int) or not 0 <= index < count:
                raise ValueError("an index is of no text")
            if placed[index] is not None:
                raise ValueError("an index is there twice")
            placed[index] = _usable(_decoded(row["embedding"]), dimensions)
        found = [vector for vector in placed if vector is not None]
        if len(found) < count:
            raise ValueError("vectors are missing")
        return found


def read_embeddings(content: bytes) -> ReadEmbeddings:
    """Return what the JSON of a reply holds.

    Raises:
        ValueError: it holds no list of vectors; likewise TypeError, LookupError and AttributeError.
    """
    body = json.loads(content)
    told = body.get("usage")
    # No completion is told, as there is none.
    return ReadEmbeddings(body["data"], usage(told, "prompt", "completion"))


def _decoded(embedding: Any) -> list[float]:
    """Return a vector of float32, whether it came as base64 or, as some servers will have it, as numbers."""
    if isinstance(embedding, str):
        vector = array("f", b64decode(embedding, validate=True))
        if sys.byteorder == "big":
            vector.byteswap()
        return vector.tolist()
    return array("f", embedding).tolist()


def _usable(vector: list[float], dimensions: int) -> list[float]:
    if len(vector) != dimensions:
        raise ValueError(f"a vector has {len(vector)} dimensions, not {dimensions}")
    # The sum of floats is finite exactly when each of them is: those of float32 cannot overflow it.
    if not isfinite(sum(vector)):
        raise ValueError("a vector is not finite")
    if not any(vector):
        raise ValueError("a vector is zero")
    return vector
