"""OpenAI's models, and those of compatible servers, behind focal's language-model port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from focal_providers.client import SDKClient, opened, options_from
from focal_providers.llm import SDKProvider
from focal_providers.openai.settings import PROVIDER, OpenAIClient, OpenAIOptions
from focal_providers.openai.wires import ChatWire, ResponsesWire


class OpenAIProvider(SDKProvider[OpenAIOptions]):
    """OpenAI's models over Responses; with ``api = "chat"`` over Chat Completions, there or at a compatible server.

    A section ``openai`` of ``provider_options`` goes into the body, over everything else; its ``headers`` into the
    headers. What the vendor's own tools leave in an answer is kept as ThinkingParts without text, and goes back.

    Args:
        client: open; whoever opened it closes it.
        options: the settings.
    """

    name: ClassVar[str] = PROVIDER

    def __init__(self, client: SDKClient, options: OpenAIOptions) -> None:
        wire = ResponsesWire() if options.api == "responses" else ChatWire(options.max_tokens_field)
        super().__init__(client, options, wire)

    @classmethod
    @asynccontextmanager
    async def connect(cls, *, model: str, api_key: str | None = None, **settings: Any) -> AsyncIterator[Self]:
        """Open a provider outside a ``Focal``; leaving the context closes it.

        Args:
            model: asked where a request names none.
            api_key: None = the environment variable ``OPENAI_API_KEY``.
            settings: further ``OpenAIOptions``.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: a setting is unknown or wrong.
        """
        options = options_from(OpenAIOptions, PROVIDER, {"model": model, "api_key": api_key, **settings})
        async with opened(OpenAIClient(options)) as client:
            yield cls(client, options)
