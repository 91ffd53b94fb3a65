"""The life of both vendors' backends: one client, opened and closed with the backend."""

from __future__ import annotations

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.health import HealthReport
from focal_core.plugins.backend import Backend
from focal_core.providers.llm import LLMProvider
from focal_providers.client import SDKClient


class SDKBackend(Backend):
    """A vendor's models over one client.

    Args:
        options: the settings.
        context: what every backend is handed.
        client: the vendor's, not yet open.
        llm: the language model over it, by which health is told.
    """

    def __init__(self, options: BaseModel, context: BackendContext, client: SDKClient, llm: LLMProvider) -> None:
        super().__init__(options, context)
        self._client = client
        self._llm = llm

    async def open(self) -> None:
        """Import the SDK and build its client; nothing is sent.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: the options cannot work.
        """
        await self._client.open()

    async def health(self) -> HealthReport:
        """Return whether the client is open; nothing is sent."""
        return await self._llm.health()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
