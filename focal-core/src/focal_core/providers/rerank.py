"""The rerank port: documents by relevance to a query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from focal_core.providers.models import NO_OPTIONS, CallOptions, RerankResponse


class RerankProvider(ABC):
    """Orders documents by their relevance to a query.

    Attributes:
        name: wire family.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def model_id(self) -> str:
        """The model that judges."""

    @abstractmethod
    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, *, options: CallOptions = NO_OPTIONS
    ) -> RerankResponse:
        """Return the documents most relevant to a query, best first.

        Args:
            query: not empty.
            documents: none of them empty; no document at all sends nothing.
            top_k: results, at least 1; None = all.
            options: time limits of this call.

        Returns:
            Results by score descending, ties by index ascending; ``index`` is the place in ``documents``.

        Raises:
            InvalidRequest: an empty text, or ``top_k`` below 1; before anything is sent.
            ProviderError: whatever the provider did.
        """

    async def aclose(self) -> None:  # noqa: B027 - nothing to release is an implementation
        """Do nothing here: the backend owns the client. A second call does nothing either."""
