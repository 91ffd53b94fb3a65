"""A vendor's client: the SDK imported off the event loop and checked, one client for each running loop, one end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from focal_core.errors import SDKUnavailable, SettingsError, Unavailable
from focal_core.providers.options import ProviderOptions
from focal_core.providers.prices import PriceBook
from focal_core.settings import SHARED_VARIABLES
from focal_core.settings_sources import ARGUMENT, KeyPath, explain

Options = TypeVar("Options", bound=ProviderOptions)
Client = TypeVar("Client", bound="SDKClient")

_PATIENCE = 0.05
"""Seconds that the end of a complete stream is waited for."""


@dataclass(frozen=True)
class Vendor:
    """What is particular about a vendor's SDK.

    Attributes:
        provider: wire family.
        package: the SDK's distribution and module.
        major: the one major version of it that is supported.
        client: name of its asynchronous client.
        base_url: where the vendor's own API is.
        request_id: header that holds the vendor's id of a request.
        rate_limits: headers that tell limits, with ``{kind}`` (requests, tokens) and ``{what}`` (limit, remaining,
            reset) left open.
    """

    provider: str
    package: str
    major: int
    client: str
    base_url: str
    request_id: str
    rate_limits: str


class SDKClient:
    """The vendor's client, configured from a backend's options; retries and redirects are off.

    Args:
        vendor: whose.
        options: key, address, headers, limits of the pool.
        arguments: further ones of the vendor's constructor.

    Attributes:
        sdk: the vendor's module, once open.
        prices: what tokens cost, once open.
        secrets: what must never be shown, once open.
    """

    def __init__(self, vendor: Vendor, options: ProviderOptions, **arguments: Any) -> None:
        self.vendor = vendor
        self.options = options
        self.sdk: Any = None
        self.prices: PriceBook | None = None
        self.secrets: tuple[str, ...] = ()
        self._arguments = arguments
        self._key = ""
        self._closed = False
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    async def open(self) -> None:
        """Import the SDK in a worker thread, and build the client there too.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent, broken or outside the supported range.
            SettingsError: key, headers or address cannot be sent.
        """
        self._key = self.options.key(
            self.vendor.provider, SHARED_VARIABLES[self.vendor.provider]["api_key"]
        ).get_secret_value()
        headers = self.options.header_values()
        self.secrets = (self._key, *filter(None, headers.values()))
        self._check_sendable({"api_key": self._key, **{f"headers.{name}": value for name, value in headers.items()}})
        client = await asyncio.to_thread(self._load)
        self._clients[asyncio.get_running_loop()] = client

    def get(self) -> Any:
        """Return the vendor's client for the running loop.

        Raises:
            Unavailable: code ``closed``.
        """
        if self._closed or self.sdk is None:
            raise self.closed()
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            # Connections of a loop that is gone can be neither used nor closed.
            for other in [one for one in self._clients if one.is_closed()]:
                del self._clients[other]
            client = self._clients[loop] = self._build()
        return client

    @property
    def is_closed(self) -> bool:
        """Whether calls are refused."""
        return self._closed

    def closed(self) -> Unavailable:
        """Return the error for a call behind the end."""
        return Unavailable(
            f"the {self.vendor.provider} client is closed",
            provider=self.vendor.provider,
            model=self.options.model,
            code="closed",
            retryable=False,
        )

    async def close(self) -> None:
        """Close all connections and refuse calls from now on; a second call does nothing."""
        self._closed = True
        clients, self._clients = dict(self._clients), WeakKeyDictionary()
        running = asyncio.get_running_loop()
        for loop, client in clients.items():
            if loop is running:
                await client.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(client.close(), loop)

    def _load(self) -> Any:
        self.sdk = load(self.vendor)
        self.prices = self.options.price_book()
        return self._build()

    def _build(self) -> Any:
        httpx2 = import_module("httpx2")
        options = self.options
        timeout = httpx2.Timeout(None, connect=options.connect_timeout)
        limits = httpx2.Limits(
            max_connections=options.max_connections, max_keepalive_connections=options.max_connections
        )
        make = self.sdk.DefaultAioHttpClient if options.http == "aiohttp" else self.sdk.DefaultAsyncHttpxClient
        try:
            http = make(follow_redirects=False, timeout=timeout, limits=limits)
        except RuntimeError as error:
            raise SDKUnavailable(
                'http = "aiohttp" needs aiohttp, which is not installed',
                hint='pip install "focal-providers[aiohttp]"',
                provider=self.vendor.provider,
            ) from error
        try:
            return getattr(self.sdk, self.vendor.client)(
                api_key=self._key,
                base_url=options.base_url or self.vendor.base_url,
                timeout=timeout,
                max_retries=0,
                default_headers=options.header_values(),
                http_client=http,
                **self._arguments,
            )
        except httpx2.InvalidURL as error:
            raise SettingsError(
                f"base_url of {self.vendor.provider} is no address: {error}", hint="correct base_url"
            ) from None

    def _check_sendable(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if not (value.isascii() and value.isprintable()):
                raise SettingsError(
                    f"{name} of {self.vendor.provider} holds characters that no header can carry",
                    hint=f"correct {self.options.key_place(self.vendor.provider) if name == 'api_key' else name}",
                )


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Client]:
    """Open a client; leaving the context closes it.

    Raises:
        MissingCredentials: there is no key.
        SDKUnavailable: the SDK is absent or outside the supported range.
        SettingsError: the options cannot work.
    """
    await client.open()
    try:
        yield client
    finally:
        await client.close()


def load(vendor: Vendor) -> Any:
    """Import and return a vendor's SDK; takes a second or two.

    Raises:
        SDKUnavailable: it is absent, broken or outside the supported range.
    """
    supported = f"{vendor.package}>={vendor.major},<{vendor.major + 1}"
    hint = f'pip install "{supported}"'
    try:
        found = version(vendor.package)
    except PackageNotFoundError:
        raise SDKUnavailable(f"{supported} is not installed", hint=hint, provider=vendor.provider) from None
    if found.split(".")[0] != str(vendor.major):
        raise SDKUnavailable(
            f"{vendor.package} {found} is installed; supported is {supported}", hint=hint, provider=vendor.provider
        )
    try:
        return import_module(vendor.package)
    except Exception as error:
        raise SDKUnavailable(
            f"{vendor.package} {found} cannot be imported: {type(error).__name__}: {error}",
            hint=f'pip install --force-reinstall "{supported}"',
            provider=vendor.provider,
        ) from error


def options_from(model: type[Options], provider: str, given: Mapping[str, Any]) -> Options:
    """Return options from arguments, with the vendor's own environment variables for key and address not given.

    Raises:
        SettingsError: one is unknown or wrong.
    """
    values = {key: value for key, value in given.items() if value is not None}
    sources = dict.fromkeys(values, ARGUMENT)
    for option, variable in SHARED_VARIABLES[provider].items():
        if option not in values and f"{option}_env" not in values and os.environ.get(variable):
            values[option], sources[option] = os.environ[variable], variable
    try:
        return model.model_validate(values, context={"backend": provider, "sources": sources})
    except ValidationError as error:
        origins: dict[KeyPath, str] = {("backends", provider, key): source for key, source in sources.items()}
        raise explain(error, model, origins, ("backends", provider)) from None


async def drain(events: AsyncIterator[Any]) -> None:
    """Read a stream that is complete to its very end, so that its connection can serve again; not for long.

    What goes wrong there is nobody's concern any more.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            async for _ in events:
                pass
    except Exception:
        return
