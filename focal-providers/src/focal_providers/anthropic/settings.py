"""Options of the Anthropic backend: ``[backends.<name>]`` with ``use = "anthropic"``."""

from __future__ import annotations

from focal_core.providers.options import ProviderOptions
from focal_providers.client import Vendor

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
