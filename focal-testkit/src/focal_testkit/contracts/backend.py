"""The contract of a backend: what every plugin does, whatever ports it serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from pydantic import ValidationError

from focal_core import Focal
from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError, SettingsError
from focal_core.health import HealthReport
from focal_core.plugins import registry
from focal_core.plugins.backend import CONTRACT, STORE_PORTS, Backend, port_types
from focal_testkit.requirement import requirement


class BackendContract:
    """Everything a Backend must do; a subclass names the entry point and its options.

    Attributes:
        backend: the name it is registered under.
    """

    backend: ClassVar[str]

    def options(self) -> Mapping[str, Any]:
        """Return the options a working backend is built with; none by default."""
        return {}

    def backend_class(self) -> type[Backend]:
        """Return the class under test; the registered one by default."""
        return registry.load(self.backend)

    def make(self) -> Backend:
        """Return a backend that is not open yet."""
        backend = self.backend_class()
        return backend(backend.Options(**self.options()), BackendContext())

    @pytest_asyncio.fixture
    async def opened(self) -> AsyncIterator[Backend]:
        """Yield an open backend."""
        backend = self.make()
        await backend.open()
        yield backend
        await backend.close()

    @requirement("BACKEND-001", since="1.0")
    async def test_built_from_settings(self) -> None:
        """A backend is found by its entry point, built from settings, and refuses an option it does not know.

        If this fails: the entry point is missing or misnamed, or Options does not forbid extra keys.
        """
        assert registry.find(self.backend).name == self.backend_class().name == self.backend
        stores = [port for port in self.backend_class().ports if port in STORE_PORTS]
        providers = [port for port in self.backend_class().ports if port not in STORE_PORTS]
        settings: dict[str, Any] = {
            "stores": dict.fromkeys(stores, "mine"),
            "providers": dict.fromkeys(providers, "mine"),
            "backends": {"mine": {"use": self.backend, **self.options()}},
        }
        async with Focal.open(settings) as focal:
            for port in (*stores, *providers):
                assert getattr(focal, port) is not None

        settings["backends"]["mine"]["no_such_option"] = 1
        with pytest.raises(SettingsError):
            async with Focal.open(settings):
                pass
        with pytest.raises(ValidationError):
            self.backend_class().Options(**{**self.options(), "no_such_option": 1})

    @requirement("BACKEND-002", since="1.0")
    async def test_serves_the_ports_it_declares(self, opened: Backend) -> None:
        """Every declared port is served by an implementation of its ABC, the same object each time; no other is.

        A store carries the context its backend was given.

        If this fails: ``ports`` and ``port()`` disagree.
        """
        assert opened.ports
        for port in opened.ports:
            assert isinstance(opened.port(port), port_types(port))
            assert opened.port(port) is opened.port(port)
            if port in STORE_PORTS:
                assert opened.port(port).context is opened.context
        with pytest.raises(ConfigurationError):
            opened.port("no_such_port")

    @requirement("BACKEND-003", since="1.0")
    async def test_declares_what_its_stores_declare(self, opened: Backend) -> None:
        """A capability of a store is a capability of its backend, and one of the backend is somewhere in its stores.

        If this fails: users are told of abilities that are not there, or are not told of those that are.
        """
        stores = [opened.port(port) for port in opened.ports if port in STORE_PORTS]
        if stores:
            assert opened.capabilities == frozenset[str]().union(*(store.capabilities for store in stores))

    @requirement("BACKEND-004", since="1.0")
    async def test_health_never_raises(self) -> None:
        """Health is a report before opening, while open and after closing; it never raises.

        If this fails: asking how the backend is breaks the caller.
        """
        backend = self.make()
        before = await backend.health()
        await backend.open()
        during = await backend.health()
        await backend.close()
        after = await backend.health()

        assert all(isinstance(report, HealthReport) for report in (before, during, after))
        assert during.status == "ok"
        assert during.backend == self.backend
        assert during.as_dict()["status"] == "ok"

    @requirement("BACKEND-005", since="1.0")
    async def test_close_idempotent(self) -> None:
        """Closing twice, or without having been open, does nothing.

        If this fails: cleaning up after a failed start raises a second error.
        """
        never_opened = self.make()
        await never_opened.close()
        backend = self.make()
        await backend.open()

        await backend.close()
        await backend.close()

    @requirement("BACKEND-006", since="1.0")
    async def test_contract_version_is_understood(self) -> None:
        """The backend was written against a contract of the major version this kit checks.

        If this fails: the kit is too old or too new for the backend.
        """
        assert self.backend_class().contract.split(".")[0] == CONTRACT.split(".")[0]
