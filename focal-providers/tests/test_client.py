"""The SDK is imported when it is needed and checked; one client for each loop; one end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import pytest

import focal_providers
from focal_core.context import BackendContext
from focal_core.errors import (
    ConfigurationError,
    MissingCredentials,
    SDKUnavailable,
    SettingsError,
    Unavailable,
)
from focal_core.settings import FocalSettings
from focal_providers import client as module
from focal_providers.anthropic.backend import AnthropicBackend
from focal_providers.anthropic.llm import AnthropicProvider
from focal_providers.anthropic.settings import ANTHROPIC, AnthropicClient, AnthropicOptions

KEY = "sk-ant-quokka"


def options(**given: Any) -> AnthropicOptions:
    return AnthropicOptions.model_validate({"model": "m", "api_key": KEY, **given})


def test_importing_loads_no_sdk_and_no_http_client() -> None:
    """A plugin that is listed, or loaded and not opened, costs next to nothing."""
    code = (
        "import sys, json, focal_providers, focal_providers.anthropic.backend, focal_providers.anthropic.llm;"
        "focal_providers.AnthropicProvider;"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in "
        "('anthropic', 'openai', 'httpx2', 'httpcore2', 'anyio', 'aiohttp')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_public_names_are_there_and_others_are_not() -> None:
    """They are resolved at first use."""
    for name in focal_providers.__all__:
        assert getattr(focal_providers, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = focal_providers.NoSuchProvider


@pytest.mark.parametrize(
    ("found", "message"), [("1.9.0", "1.9.0 is installed"), ("3.0.0", "3.0.0"), (None, "not installed")]
)
def test_an_sdk_outside_the_range_is_told(monkeypatch: pytest.MonkeyPatch, found: str | None, message: str) -> None:
    """Before it is imported, with the command that helps."""

    def version(name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(module, "version", version)
    with pytest.raises(SDKUnavailable, match=message) as caught:
        module.load(ANTHROPIC)
    assert caught.value.hint == 'pip install "anthropic>=2,<3"'


def test_an_sdk_that_breaks_on_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error of that one plugin."""

    def broken(name: str) -> Any:
        raise ImportError(f"{name} wants something else")

    monkeypatch.setattr(module, "import_module", broken)
    with pytest.raises(SDKUnavailable, match="wants something else") as caught:
        module.load(ANTHROPIC)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.asyncio
async def test_provider_x5_a_missing_key_is_told_at_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting and the variable."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    settings = FocalSettings.load({"backends": {"claude": {"use": "anthropic", "model": "m"}}}, environ={})
    backend = AnthropicBackend(settings.backend_options("claude", AnthropicOptions), BackendContext())

    with pytest.raises(MissingCredentials, match=r"backends\.claude\.api_key") as caught:
        await backend.open()
    assert "ANTHROPIC_API_KEY" in str(caught.value.hint)
    await backend.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [({"api_key": "sk-\u00e4"}, "api_key"), ({"api_key": "sk\nant"}, "api_key"), ({"headers": {"x-a": "\r\n"}}, "x-a")],
)
@pytest.mark.asyncio
async def test_what_no_header_can_carry_is_told_at_open(given: dict[str, Any], named: str) -> None:
    """Not at each call, as a lost connection."""
    with pytest.raises(SettingsError, match=named) as caught:
        await AnthropicClient(options(**given)).open()
    assert "sk" not in str(caught.value).replace("ask", "")


@pytest.mark.asyncio
async def test_the_client_is_built_as_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """No retries, no redirects, no spans of its own, the address and the limits that were set."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example")
    opened = AnthropicClient(options(headers={"x-gate": "g"}, connect_timeout=2.5, max_connections=7))
    await opened.open()
    sdk = opened.get()

    assert (sdk.api_key, str(sdk.base_url).rstrip("/"), sdk.max_retries) == (KEY, "https://api.anthropic.com", 0)
    assert sdk.default_headers["x-gate"] == "g"
    assert (sdk.timeout.connect, sdk.timeout.read, sdk.timeout.pool) == (2.5, None, None)
    assert sdk._client.follow_redirects is False
    assert sdk._client._transport._pool._max_connections == 7
    await opened.close()
    assert sdk.is_closed()


@pytest.mark.skipif(find_spec("aiohttp") is not None, reason="aiohttp is installed")
@pytest.mark.asyncio
async def test_a_transport_that_is_not_installed_is_told_at_open() -> None:
    """With the command that installs it."""
    with pytest.raises(SDKUnavailable, match="aiohttp") as caught:
        await AnthropicClient(options(http="aiohttp")).open()
    assert "focal-providers[aiohttp]" in str(caught.value.hint)


@pytest.mark.asyncio
async def test_provider_x4_closing_twice_is_fine_and_final() -> None:
    """A call afterwards is Unavailable with code ``closed``."""
    opened = AnthropicClient(options())
    await opened.open()
    await opened.close()
    await opened.close()
    with pytest.raises(Unavailable) as caught:
        opened.get()
    assert (caught.value.code, caught.value.retryable, caught.value.provider) == ("closed", False, "anthropic")


def test_provider_x3_each_loop_has_its_client() -> None:
    """One for the running loop, built anew when the loop is another; that of a closed loop is forgotten."""
    opened = AnthropicClient(options())

    async def first() -> Any:
        await opened.open()
        assert opened.get() is opened.get()
        return opened.get()

    async def later() -> Any:
        return opened.get()

    async def last() -> None:
        opened.get()
        assert len(opened._clients) == 1
        await opened.close()

    assert asyncio.run(first()) is not asyncio.run(later())
    asyncio.run(last())


@pytest.mark.asyncio
async def test_connect_takes_key_and_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments go first; an unknown one is told with the nearest known."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-from-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    async with AnthropicProvider.connect(model="m") as llm:
        sdk = llm._client.get()
        assert (sdk.api_key, str(sdk.base_url).rstrip("/")) == ("sk-from-environment", "http://127.0.0.1:9")
        assert llm._options.key_place("anthropic") == "ANTHROPIC_API_KEY"
    async with AnthropicProvider.connect(model="m", api_key=KEY, base_url="http://127.0.0.1:8/x") as llm:
        sdk = llm._client.get()
        assert (sdk.api_key, str(sdk.base_url).rstrip("/")) == (KEY, "http://127.0.0.1:8/x")
    with pytest.raises(SettingsError, match="max_tokes") as caught:
        async with AnthropicProvider.connect(model="m", max_tokes=5):
            pytest.fail("it was opened")
    assert "max_tokens" in str(caught.value.hint)


@pytest.mark.asyncio
async def test_the_backend_serves_one_port() -> None:
    """The same object each time; it reports its health without a call."""
    backend = AnthropicBackend(options(), BackendContext())
    await backend.open()

    assert isinstance(backend.port("llm"), AnthropicProvider)
    assert backend.port("llm") is backend.port("llm")
    with pytest.raises(ConfigurationError, match="embedding"):
        backend.port("embedding")
    assert (await backend.health()).status == "ok"
    await backend.close()
    assert (await backend.health()).status == "down"
