"""The embeddings wire of OpenAI and its compatible servers."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from focal_core.providers.hashing import hashed_vector
from focal_testkit.faults.wire import Exchange, Received, Step, json_reply
from focal_testkit.faults.wire_chat import OPENAI_RATE_LIMITS, openai_error, openai_model_card
from focal_testkit.faults.wire_dialect import ANSWERED_MODEL, Answer, Event, WireDialect

DIMENSIONS = 8
"""Length of the server's vectors."""

Rows = list[dict[str, Any]]


def vector_of(text: str) -> list[float]:
    """Return the vector the server gives to a text; of length 1, and rounded to float32."""
    return hashed_vector(text, DIMENSIONS)


class EmbeddingsDialect(WireDialect):
    """Embeddings; every reply is computed from its request."""

    name: ClassVar[str] = "openai-embeddings"
    provider: ClassVar[str] = "openai"
    path: ClassVar[str] = "/v1/embeddings"
    request_id_header: ClassVar[str] = "x-request-id"
    rate_limits: ClassVar[Mapping[str, str]] = OPENAI_RATE_LIMITS

    def base_url(self, origin: str) -> str:
        """Return the address with the version, as the vendor's own is."""
        return f"{origin}/v1"

    def body(self, answer: Answer) -> dict[str, Any]:
        """Return the vector of one text; see ``answered`` for replies to what was asked."""
        return self.listed([answer.text], "float", usage=answer.spent is not None)

    def listed(
        self,
        texts: Sequence[str],
        encoding: str,
        *,
        spoil: Callable[[Rows], Rows] = list,
        usage: bool = True,
    ) -> dict[str, Any]:
        """Return a list of vectors.

        Args:
            texts: what was asked for.
            encoding: ``"float"`` or ``"base64"``.
            spoil: changes the rows before they are encoded.
            usage: whether tokens are told.
        """
        rows = [
            {"object": "embedding", "index": index, "embedding": vector_of(text)} for index, text in enumerate(texts)
        ]
        rows = spoil(rows)
        for row in rows:
            if encoding == "base64" and isinstance(row["embedding"], list):
                row["embedding"] = base64.b64encode(array("f", row["embedding"]).tobytes()).decode()
        listed = {"object": "list", "data": rows, "model": ANSWERED_MODEL}
        return (
            {**listed, "usage": {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}} if usage else listed
        )

    def answered(self, spoil: Callable[[Rows], Rows] = list, *, usage: bool = True) -> Exchange:
        """Return an exchange that answers what it is asked, spoiled as told."""

        def steps(request: Received) -> Sequence[Step]:
            asked = request.json()
            given = asked["input"]
            texts = [given] if isinstance(given, str) else given
            encoding = asked.get("encoding_format", "float")
            return (json_reply(200, self.listed(texts, encoding, spoil=spoil, usage=usage), self.headers()),)

        return steps

    def events(self, answer: Answer) -> list[Event]:
        """Return nothing: this wire has no streams."""
        return []

    def error(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return one of the vendor's errors."""
        return openai_error(kind)

    def error_events(self, kind: str) -> list[Event]:
        """Return nothing: this wire has no streams."""
        return []

    def request_types(self) -> Mapping[bool, Any]:
        """Return the SDK's parameters of ``embeddings.create``."""
        from openai.types import embedding_create_params as types

        return {False: types.EmbeddingCreateParams}

    def model_card(self, model: str) -> dict[str, Any]:
        """Return a model's card."""
        return openai_model_card(model)
