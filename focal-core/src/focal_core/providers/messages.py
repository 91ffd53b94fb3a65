"""What a language model is told: message parts, messages, tools, requests, and the options of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel
from focal_core.errors import InvalidRequest
from focal_core.values import Identifier, JSONObject, RequiredText, Text

Role: TypeAlias = Literal["user", "assistant", "tool"]

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Seconds: TypeAlias = Annotated[float, Field(gt=0.0)]


class ProviderModel(FocalModel):
    """Base of what goes to and comes from providers: frozen, and the same after a round trip through JSON."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class TextPart(ProviderModel):
    """Text, of either side."""

    kind: Literal["text"] = "text"
    text: Text


class _Content(ProviderModel):
    data: bytes | None = None
    url: RequiredText | None = None
    file_id: RequiredText | None = None
    media_type: RequiredText | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.data is None) + (self.url is None) + (self.file_id is None) != 2:
            raise PydanticCustomError("focal.content_source", "exactly one of data, url and file_id must be given")
        if self.data is not None and self.media_type is None:
            raise PydanticCustomError("focal.content_media_type", "data needs a media_type")
        return self


class ImagePart(_Content):
    """An image: bytes, a URL, or the id of a file the vendor has.

    Attributes:
        data: the bytes.
        url: where the vendor fetches it.
        file_id: the vendor's id.
        media_type: such as ``"image/png"``; required beside ``data``.
    """

    kind: Literal["image"] = "image"


class FilePart(_Content):
    """A document: bytes, a URL, or the id of a file the vendor has.

    Attributes:
        data: the bytes.
        url: where the vendor fetches it.
        file_id: the vendor's id.
        media_type: such as ``"application/pdf"``; required beside ``data``.
        name: file name shown to the model.
    """

    kind: Literal["file"] = "file"
    name: RequiredText | None = None


class ToolCallPart(ProviderModel):
    """The model wants a tool called.

    Attributes:
        id: names the call; its result carries the same.
        name: the tool.
        arguments: None exactly when ``raw_arguments`` is not a JSON object.
        raw_arguments: the text the model wrote.
    """

    kind: Literal["tool_call"] = "tool_call"
    id: RequiredText
    name: RequiredText
    arguments: JSONObject | None
    raw_arguments: Text


class ToolResultPart(ProviderModel):
    """What a tool answered.

    Attributes:
        id: of the call.
        content: text, or parts.
        is_error: whether the tool failed.
    """

    kind: Literal["tool_result"] = "tool_result"
    id: RequiredText
    content: Text | tuple[Annotated[TextPart | ImagePart, Field(discriminator="kind")], ...]
    is_error: bool = False


class ThinkingPart(ProviderModel):
    """What the model thought.

    Attributes:
        text: readable, or empty where the vendor hides it.
        opaque: goes back verbatim, and only to the provider that made it.
        provider: which one that is.
    """

    kind: Literal["thinking"] = "thinking"
    text: Text
    opaque: JSONObject
    provider: RequiredText


Part: TypeAlias = Annotated[
    TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart | ThinkingPart, Field(discriminator="kind")
]


class LLMMessage(ProviderModel):
    """One message of a conversation with a model.

    ``content="..."`` at construction stands for one TextPart.

    Attributes:
        role: who speaks; system text is a field of the request.
        parts: what is said, in order.
    """

    role: Role
    parts: tuple[Part, ...]

    if TYPE_CHECKING:

        def __init__(self, *, role: Role, parts: Sequence[Part] = ..., content: str = ...) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _content_is_text(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "content" in data and "parts" not in data:
            rest = {key: value for key, value in data.items() if key != "content"}
            return {**rest, "parts": ({"kind": "text", "text": data["content"]},)}
        return data

    @property
    def text(self) -> str:
        """All text parts, in order, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """All tool calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))


class ToolSpec(ProviderModel):
    """A tool the model may call.

    Attributes:
        name: by which the model calls it.
        description: what it does, for the model.
        input_schema: JSON schema of its arguments.
        strict: whether the vendor is asked to enforce the schema.
    """

    name: Identifier
    description: Text
    input_schema: JSONObject
    strict: bool = True


class SpecificTool(ProviderModel):
    """The one tool the model must call."""

    name: Identifier


@dataclass(frozen=True, config=ConfigDict(extra="forbid", revalidate_instances="always", hide_input_in_errors=True))
class ResponseSchema:
    """What the answer must look like. Not a pydantic model only because those have a method named ``schema``.

    Attributes:
        name: of the schema, for the vendor.
        schema: JSON schema.
        strict: whether the vendor is asked to enforce it.
        validated: whether whoever asks validates the answer, so that a constraint the wire cannot carry may be told to
            the model in words.
    """

    name: Identifier
    schema: JSONObject
    strict: bool = True
    validated: bool = False


class CacheHint(ProviderModel):
    """Advice to cache the prompt; the only thing in a request that a provider may ignore.

    Attributes:
        ttl: how long: minutes, or an hour and more.
        key: groups requests that share a prefix.
    """

    ttl: Literal["short", "long"] = "short"
    key: RequiredText | None = None


class LLMRequest(ProviderModel):
    """One question to a language model. A field left None is not sent; a field set is sent or refused.

    Attributes:
        messages: at least one. System messages at the start of a list of dicts are moved to ``system``.
        system: instructions.
        model: None = the configured one.
        max_tokens: tokens of the answer at most.
        temperature: 0.0 to 2.0.
        top_p: 0.0 to 1.0.
        stop: texts that end the answer.
        tools: what the model may call.
        tool_choice: whether and which.
        effort: how much to think.
        response_schema: what the answer must look like.
        cache: advice.
        end_user: opaque id for the vendor's abuse handling.
        metadata: ours, for spans, hooks and recordings; never sent.
        provider_options: name of a provider -> whatever else to send to it.
    """

    messages: tuple[LLMMessage, ...] = Field(min_length=1)
    system: Text | None = None
    model: Identifier | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, ge=0.0, le=1.0)
    stop: tuple[RequiredText, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | SpecificTool = "auto"
    effort: Effort | None = None
    response_schema: ResponseSchema | None = None
    cache: CacheHint | None = None
    end_user: RequiredText | None = None
    metadata: dict[str, str] = {}
    provider_options: dict[str, JSONObject] = {}

    @model_validator(mode="before")
    @classmethod
    def _system_first(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("messages"), list | tuple):
            return data
        messages: Sequence[Any] = data["messages"]
        leading = 0
        while leading < len(messages) and _is_system(messages[leading]):
            leading += 1
        if any(map(_is_system, messages[leading:])):
            raise InvalidRequest(
                "a system message stands behind other messages",
                code="system_not_first",
                hint="put it first, or pass its text as system=...",
            )
        if not leading:
            return data
        texts = [data["system"]] if data.get("system") is not None else []
        texts += [message.get("content") for message in messages[:leading]]
        if not all(isinstance(text, str) for text in texts):
            raise PydanticCustomError("focal.system_text", "the content of a system message must be a str")
        return {**data, "system": "\n\n".join(texts), "messages": messages[leading:]}


def _is_system(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "system"


class CallOptions(ProviderModel):
    """Limits of one call; None = the backend's setting.

    Attributes:
        deadline: seconds the whole call may take, waiting between attempts included; None there too = no limit.
        attempt_timeout: seconds one attempt may take.
        first_event_timeout: seconds until a stream's first event.
        idle_timeout: seconds between two events of a stream.
        max_attempts: attempts at most.
        max_retry_after: seconds a provider may ask to wait; more is raised at once.
        tenant_id: for cache keys, spans and hooks; never sent.
    """

    deadline: Seconds | None = None
    attempt_timeout: Seconds | None = None
    first_event_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    max_attempts: int | None = Field(default=None, ge=1)
    max_retry_after: float | None = Field(default=None, ge=0.0)
    tenant_id: UUID | None = None


NO_OPTIONS = CallOptions()
"""Everything as the backend is configured."""
