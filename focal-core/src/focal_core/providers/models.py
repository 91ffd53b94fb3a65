"""What providers answer: responses, stream events, vectors, scores, capabilities. Requests: ``messages``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, SkipValidation

from focal_core.base import Alias
from focal_core.providers.messages import (
    NO_OPTIONS,
    CacheHint,
    CallOptions,
    Effort,
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    Part,
    ProviderModel,
    ResponseSchema,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_core.usage import TokenUsage
from focal_core.values import MAX_DIMENSIONS, Identifier, Identifier100, RequiredText, Text, UTCDateTime

T = TypeVar("T")

InputKind: TypeAlias = Literal["query", "document"]
_FINISH_ALIASES = {"tool_use": "tool_calls", "max_tokens": "length"}
FinishReason: TypeAlias = Annotated[
    Literal["stop", "length", "tool_calls", "refusal", "content_filter", "pause", "other"],
    BeforeValidator(lambda value: _FINISH_ALIASES.get(value, value) if isinstance(value, str) else value),
]


class Attempt(ProviderModel):
    """One try of a call.

    Attributes:
        n: from 1.
        outcome: ``"ok"`` or the code of the error.
        status: HTTP status.
        request_id: the vendor's.
        duration: seconds it took.
        waited: seconds waited before it.
        usage: tokens it spent, as far as reported.
    """

    n: int = Field(ge=1)
    outcome: Identifier
    status: int | None = None
    request_id: Text | None = None
    duration: float = Field(default=0.0, ge=0.0)
    waited: float = Field(default=0.0, ge=0.0)
    usage: TokenUsage | None = None


class RateLimitState(ProviderModel):
    """What the vendor last said about its limits; None = it did not say."""

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_at: UTCDateTime | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_at: UTCDateTime | None = None


class LLMResponse(ProviderModel):
    """What a language model answered.

    Attributes:
        message: by the assistant.
        finish_reason: why it ended; ``tool_use`` and ``max_tokens`` are read as tool_calls and length.
        finish_detail: the vendor's further words on that.
        usage: tokens spent, of all attempts that reported them.
        model: as answered.
        provider: wire family of whoever answered.
        request_id: the vendor's.
        attempts: every try, the successful one last.
        rate_limit: as last reported.
        cost: in USD; None where no price is known.
        latency_ms: the whole call.
        raw: the vendor's object where the backend keeps it; never shown or dumped.
    """

    message: LLMMessage
    finish_reason: FinishReason = "stop"
    finish_detail: Text | None = None
    usage: TokenUsage = Field(default_factory=lambda: TokenUsage(reported=False))
    model: RequiredText
    provider: RequiredText
    request_id: Text | None = None
    attempts: tuple[Attempt, ...] = ()
    rate_limit: RateLimitState | None = None
    cost: Decimal | None = None
    latency_ms: float = Field(default=0.0, ge=0.0)
    raw: Any = Field(default=None, exclude=True, repr=False)

    @property
    def text(self) -> str:
        """All text of the message, joined."""
        return self.message.text

    @property
    def content(self) -> str:
        """The same as ``text``."""
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The tool calls of the message, in order."""
        return self.message.tool_calls


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """A tool call begins; ``index`` counts the calls of the message from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the arguments, as JSON text, of the call with that index."""

    index: int
    json: str


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """Tokens spent so far: the whole, not an increment."""

    usage: TokenUsage


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete; the last event, once."""

    response: LLMResponse


StreamEvent: TypeAlias = TextDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | UsageUpdate | Done


@dataclass(frozen=True, slots=True)
class StructuredResult(Generic[T]):
    """A validated value and where it came from; unpacks as (value, response).

    Attributes:
        value: of the type that was asked for.
        response: the answer it was read from.
        responses: every answer, refused ones first.
        usage: of all of them.
    """

    value: T
    response: LLMResponse
    responses: tuple[LLMResponse, ...]
    usage: TokenUsage

    def __iter__(self) -> Iterator[Any]:
        return iter((self.value, self.response))


class ProviderCapabilities(ProviderModel):
    """What a model can do; None = unknown, so it is sent; False = refused before anything is sent."""

    streaming: bool | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    images: bool | None = None
    files: bool | None = None
    temperature: bool | None = None
    top_p: bool | None = None
    stop: bool | None = None
    effort: bool | None = None
    cache: bool | None = None
    count_tokens: bool | None = None


class TokenCount(NamedTuple):
    """How many tokens a request has, and whether that is the vendor's own count."""

    tokens: int
    exact: bool


class EmbeddingSpec(ProviderModel):
    """The space an embedding provider's vectors belong to, and what it takes at once.

    Attributes:
        model: what stores record as ``embedding_model``.
        dimensions: length of every vector.
        normalized: whether every vector has length 1.
        max_input_tokens: tokens of one text.
        max_batch: texts of one request.
        max_batch_tokens: tokens of one request.
        asymmetric: whether queries and documents are embedded differently.
    """

    model: Identifier100
    dimensions: int = Field(ge=1, le=MAX_DIMENSIONS)
    normalized: bool
    max_input_tokens: int | None = Field(default=None, ge=1)
    max_batch: int | None = Field(default=None, ge=1)
    max_batch_tokens: int | None = Field(default=None, ge=1)
    asymmetric: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ for spaces that must not be mixed."""
        space = f"{self.model}\n{self.dimensions}\n{self.normalized}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(space).hexdigest()[:16]


class EmbeddingResponse(ProviderModel):
    """Vectors, one for each text, in the order of the texts.

    Attributes:
        embeddings: (texts, dimensions) floats of float32 precision; checked by the provider, not again here.
        spec: their space.
        usage: tokens spent.
        attempts: every try.
        truncated: indices of texts that were shortened.
        cost: in USD; None where no price is known.
    """

    embeddings: SkipValidation[list[list[float]]]
    spec: EmbeddingSpec
    usage: TokenUsage
    attempts: tuple[Attempt, ...] = ()
    truncated: tuple[int, ...] = ()
    cost: Decimal | None = None


class RerankResult(ProviderModel):
    """One document and how relevant it is.

    Attributes:
        index: its place in the documents that were given.
        score: as the model gave it; comparable within one answer only.
        document: the text.
    """

    index: int = Field(ge=0)
    score: float
    document: Text

    text = Alias[str]("document")


class RerankResponse(ProviderModel):
    """Documents by score descending, ties by index ascending."""

    results: tuple[RerankResult, ...]
    model: RequiredText
    usage: TokenUsage
    attempts: tuple[Attempt, ...] = ()
    cost: Decimal | None = None


__all__ = [
    "NO_OPTIONS",
    "Attempt",
    "CacheHint",
    "CallOptions",
    "Done",
    "Effort",
    "EmbeddingResponse",
    "EmbeddingSpec",
    "FilePart",
    "FinishReason",
    "ImagePart",
    "InputKind",
    "LLMMessage",
    "LLMRequest",
    "LLMResponse",
    "Part",
    "ProviderCapabilities",
    "ProviderModel",
    "RateLimitState",
    "RerankResponse",
    "RerankResult",
    "ResponseSchema",
    "SpecificTool",
    "StreamEvent",
    "StructuredResult",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "ThinkingPart",
    "TokenCount",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolCallStart",
    "ToolResultPart",
    "ToolSpec",
    "UsageUpdate",
]
