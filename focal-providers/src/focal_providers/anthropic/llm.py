"""Anthropic's models behind focal's language-model port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from focal_core.providers.models import LLMRequest, ProviderCapabilities
from focal_providers.anthropic.request import PROVIDER, arguments, counting_arguments
from focal_providers.anthropic.response import read_message, vendor_message
from focal_providers.anthropic.settings import AnthropicClient, AnthropicOptions
from focal_providers.anthropic.stream import AccumulatedMessage
from focal_providers.client import SDKClient, opened, options_from
from focal_providers.llm import Accumulated, Read, SDKProvider, Wire


class MessagesWire(Wire):
    """Messages. Structured output, effort and sampling differ by model, and are unknown."""

    answer: ClassVar[str] = "message"
    known: ClassVar[ProviderCapabilities] = ProviderCapabilities(
        streaming=True, tools=True, images=True, files=True, stop=True, cache=True, count_tokens=True
    )

    def arguments(self, request: LLMRequest, *, cache: bool) -> dict[str, Any]:
        """Return the arguments of ``messages.create``."""
        return arguments(request, cache=cache)

    async def create(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``messages.create``."""
        return await client.messages.with_raw_response.create(**sent)

    async def open(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``messages.create`` for a stream of plain JSON: the SDK would make the first class it knows of any."""
        from anthropic import AsyncStream

        reply = await client.messages.with_raw_response.create(**sent, stream=True)
        return await reply.parse(to=AsyncStream[object])

    def read(self, body: Any) -> Read:
        """Read a message."""
        return read_message(body)

    def accumulated(self) -> Accumulated:
        """Return an empty message."""
        return AccumulatedMessage()

    def raw(self, sdk: Any, body: Mapping[str, Any]) -> Any:
        """Return a ``Message``."""
        return vendor_message(sdk, body)

    async def count(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Call ``messages.count_tokens``."""
        return await client.messages.with_raw_response.count_tokens(**counting_arguments(sent))


class AnthropicProvider(SDKProvider[AnthropicOptions]):
    """Claude, or whatever speaks Messages at ``base_url``.

    A section ``anthropic`` of ``provider_options`` goes into the body, over everything else; its ``headers`` into the
    headers. What the vendor's own tools leave in an answer is kept as ThinkingParts without text, so that a paused
    answer can be sent back and goes on.

    Args:
        client: open; whoever opened it closes it.
        options: the settings.
    """

    name: ClassVar[str] = PROVIDER

    def __init__(self, client: SDKClient, options: AnthropicOptions) -> None:
        super().__init__(client, options, MessagesWire())

    @classmethod
    @asynccontextmanager
    async def connect(cls, *, model: str, api_key: str | None = None, **settings: Any) -> AsyncIterator[Self]:
        """Open a provider outside a ``Focal``; leaving the context closes it.

        Args:
            model: asked where a request names none.
            api_key: None = the environment variable ``ANTHROPIC_API_KEY``.
            settings: further ``AnthropicOptions``.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: a setting is unknown or wrong.
        """
        options = options_from(AnthropicOptions, PROVIDER, {"model": model, "api_key": api_key, **settings})
        async with opened(AnthropicClient(options)) as client:
            yield cls(client, options)
