"""No key, no address from the environment, no network but loopback; only what asks the vendors is spared."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.providers.recordings import recording

_VENDORS = ("ANTHROPIC_", "OPENAI_")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "live: asks a vendor's own server; needs its key")
    config.addinivalue_line("markers", "vcr: replays what a vendor answered, or records it anew; see recordings.py")


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clear the vendors' variables, and refuse every address that is not this machine's."""
    recorded = request.node.get_closest_marker("vcr") is not None and recording(request.config)
    if recorded or request.node.get_closest_marker("live") is not None:
        yield
        return
    for name in [name for name in os.environ if name.startswith(_VENDORS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(method: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
                raise AssertionError(f"a test tried to reach {address}")
            return method(self, address)

        return call

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    yield
