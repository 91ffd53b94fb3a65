"""Options of the Anthropic backend: ``[backends.<name>]`` with ``use = "anthropic"``."""

from __future__ import annotations

from typing import Any

from focal_core.providers.options import ProviderOptions
from focal_providers.client import SDKClient, Vendor

ANTHROPIC = Vendor(
    provider="anthropic",
    package="anthropic",
    major=2,
    client="AsyncAnthropic",
    base_url="https://api.anthropic.com",
    request_id="request-id",
    rate_limits="anthropic-ratelimit-{kind}-{what}",
)


class AnthropicOptions(ProviderOptions):
    """How to reach Anthropic, or a server that speaks Messages. The key is ``ANTHROPIC_API_KEY`` unless set here.

    A gateway that reads the key from ``x-api-key`` only needs it in ``headers`` too.
    """


class AnthropicClient(SDKClient):
    """Anthropic's client; it makes no spans of its own.

    Args:
        options: key, address, headers, limits of the pool.
    """

    def __init__(self, options: AnthropicOptions) -> None:
        super().__init__(ANTHROPIC, options, open_telemetry=False)

    def _build(self) -> Any:
        client = super()._build()
        # The SDK imports these when they are asked for first, which would hold up the event loop.
        for _ in (client.messages, client.models):
            pass
        return client
