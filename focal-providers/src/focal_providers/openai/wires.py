"""OpenAI's two APIs for language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from focal_core.providers.models import LLMRequest, ProviderCapabilities
from focal_providers.llm import Accumulated, Read, Wire
from focal_providers.openai.chat.request import arguments as chat_arguments
from focal_providers.openai.chat.response import read_completion
from focal_providers.openai.chat.stream import AccumulatedCompletion
from focal_providers.openai.responses.request import arguments as responses_arguments
from focal_providers.openai.responses.request import counting_arguments
from focal_providers.openai.responses.response import read_response
from focal_providers.openai.responses.stream import AccumulatedResponse
from focal_providers.openai.sse import EventStream


class ResponsesWire(Wire):
    """Responses."""

    answer: ClassVar[str] = "response"
    known: ClassVar[ProviderCapabilities] = ProviderCapabilities(
        streaming=True, tools=True, images=True, files=True, stop=False, cache=True, count_tokens=True
    )

    def arguments(self, request: LLMRequest, *, cache: bool) -> dict[str, Any]:
        """Return the arguments of ``responses.create``."""
        return responses_arguments(request, cache=cache)

    async def create(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``responses.create``."""
        return await client.responses.with_raw_response.create(**sent)

    async def open(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``responses.create`` for a stream."""
        reply = await client.responses.with_raw_response.create(**sent, stream=True)
        return EventStream(reply.http_response)

    def read(self, body: Any) -> Read:
        """Read a response."""
        return read_response(body)

    def accumulated(self) -> Accumulated:
        """Return an empty response."""
        return AccumulatedResponse()

    def raw(self, sdk: Any, body: Mapping[str, Any]) -> Any:
        """Return a ``Response``."""
        return sdk.types.responses.Response.construct(**body)

    async def count(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``responses.input_tokens.count``."""
        return await client.responses.input_tokens.with_raw_response.count(**counting_arguments(sent))


class ChatWire(Wire):
    """Chat Completions.

    Args:
        max_tokens_field: what the server calls the limit of tokens.
    """

    answer: ClassVar[str] = "completion"
    known: ClassVar[ProviderCapabilities] = ProviderCapabilities(
        streaming=True, tools=True, stop=True, count_tokens=False
    )

    def __init__(self, max_tokens_field: str) -> None:
        self._max_tokens_field = max_tokens_field

    def arguments(self, request: LLMRequest, *, cache: bool) -> dict[str, Any]:
        """Return the arguments of ``chat.completions.create``."""
        return chat_arguments(request, cache=cache, max_tokens_field=self._max_tokens_field)

    async def create(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``chat.completions.create``."""
        return await client.chat.completions.with_raw_response.create(**sent)

    async def open(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``chat.completions.create`` for a stream that tells its usage at the end."""
        told = {"stream_options": {"include_usage": True}}
        reply = await client.chat.completions.with_raw_response.create(**sent, **told, stream=True)
        return EventStream(reply.http_response)

    def read(self, body: Any) -> Read:
        """Read a completion."""
        return read_completion(body)

    def accumulated(self) -> Accumulated:
        """Return an empty completion."""
        return AccumulatedCompletion()

    def raw(self, sdk: Any, body: Mapping[str, Any]) -> Any:
        """Return a ``ChatCompletion``."""
        return sdk.types.chat.ChatCompletion.construct(**body)
