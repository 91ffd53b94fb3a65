"""Options of the OpenAI backend: ``[backends.<name>]`` with ``use = "openai"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from focal_core.providers.options import ProviderOptions
from focal_core.values import MAX_DIMENSIONS, Identifier, Identifier100
from focal_providers.client import SDKClient, Vendor

PROVIDER = "openai"
OPENAI = Vendor(
    provider=PROVIDER,
    package="openai",
    major=3,
    client="AsyncOpenAI",
    base_url="https://api.openai.com/v1",
    request_id="x-request-id",
    rate_limits="x-ratelimit-{what}-{kind}",
)
NATIVE_DIMENSIONS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""Model -> length of the vectors it makes unless asked for fewer."""
_FIXED = frozenset({"text-embedding-ada-002"})


class OpenAIOptions(ProviderOptions):
    """How to reach OpenAI, or a server that speaks one of its wires. The key is ``OPENAI_API_KEY`` unless set here.

    Attributes:
        api: ``responses``, or ``chat`` for Chat Completions, which most compatible servers speak.
        organization: whom usage is counted to, where a key belongs to several.
        project: likewise.
        max_tokens_field: what ``chat`` calls the limit of tokens; older servers know ``max_tokens`` only.
        embedding_model: needed when the backend serves port ``embedding``.
        dimensions: length of its vectors; known for OpenAI's own models, where fewer can be asked for.
        send_dimensions: whether requests ask for that length; by default where the model's own differs.
        embedding_space: what stores record as the model of the vectors; the model's name when None.
        batch_size: texts of one request at most.
        concurrency: requests of one call under way at a time.
    """

    required_by_port: ClassVar[Mapping[str, str]] = {"llm": "model", "embedding": "embedding_model"}

    api: Literal["responses", "chat"] = "responses"
    organization: Annotated[Identifier, Field(pattern=r"^[!-~]+$")] | None = None
    project: Annotated[Identifier, Field(pattern=r"^[!-~]+$")] | None = None
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    embedding_model: Identifier100 | None = None
    dimensions: int | None = Field(default=None, ge=1, le=MAX_DIMENSIONS)
    send_dimensions: bool | None = None
    embedding_space: Identifier100 | None = None
    batch_size: int = Field(default=512, ge=1, le=2048)
    concurrency: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _known_length(self) -> Self:
        if self.embedding_model is None:
            return self
        native = NATIVE_DIMENSIONS.get(self.embedding_model)
        if native is None and self.dimensions is None:
            raise ValueError(
                f"dimensions must be set: the length of the vectors of {self.embedding_model} is not known"
            )
        if native is not None and self.dimensions not in (None, native):
            if self.embedding_model in _FIXED:
                raise ValueError(f"the vectors of {self.embedding_model} have {native} dimensions, always")
            if self.dimensions is not None and self.dimensions > native:
                raise ValueError(f"the vectors of {self.embedding_model} have {native} dimensions at most")
            if self.send_dimensions is False:
                raise ValueError(f"dimensions other than {native} must be sent, or the model does not know of them")
        if self.embedding_model in _FIXED and self.send_dimensions:
            raise ValueError(f"{self.embedding_model} takes no dimensions")
        return self

    @property
    def vector_length(self) -> int:
        """Length of the vectors of ``embedding_model``.

        Raises:
            KeyError: there is no such model.
        """
        return self.dimensions or NATIVE_DIMENSIONS[self.embedding_model or ""]

    @property
    def asked_dimensions(self) -> int | None:
        """The length that requests ask for; None = they do not."""
        native = NATIVE_DIMENSIONS.get(self.embedding_model or "")
        differs = native is not None and self.dimensions not in (None, native)
        return self.vector_length if (differs if self.send_dimensions is None else self.send_dimensions) else None


class OpenAIClient(SDKClient):
    """OpenAI's client; no organization or project but the configured ones."""

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(OPENAI, options)
        self._whom = {"organization": options.organization, "project": options.project}

    def _build(self) -> Any:
        client = super()._build()
        # Given None, the constructor looks into the environment.
        for name, value in self._whom.items():
            setattr(client, name, value)
        # The SDK imports these when they are asked for first, which would hold up the event loop.
        for _ in (client.responses, client.chat.completions, client.embeddings, client.models):
            pass
        return client
