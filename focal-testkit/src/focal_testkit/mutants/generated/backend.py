"""Backends that break the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel

from focal_core.errors import ConfigurationError
from focal_core.health import HealthReport
from focal_core.inmemory.backend import InMemoryBackend
from focal_core.plugins.backend import resolve
from focal_testkit.mutants import mutant


class _AnyOptions(BaseModel):
    """Options that take any key in silence."""


@mutant("BACKEND-001")
class TakesAnyOption(InMemoryBackend):
    """An unknown option is ignored."""

    Options: ClassVar[type[BaseModel]] = _AnyOptions


@mutant("BACKEND-002")
class NewStoreEachTime(InMemoryBackend):
    """Every call makes a new, empty store."""

    def port(self, name: str) -> Any:
        return resolve(self.ports[name])(self.context)


@mutant("BACKEND-003")
class DeclaresDurability(InMemoryBackend):
    """A capability is declared that no store has."""

    capabilities: ClassVar[frozenset[str]] = InMemoryBackend.capabilities | {"durable"}


@mutant("BACKEND-004", "BACKEND-005")
class RaisesWhenClosed(InMemoryBackend):
    """A closed backend raises, whatever it is asked."""

    closed = False

    async def health(self) -> HealthReport:
        if self.closed:
            raise ConfigurationError("closed")
        return await super().health()

    async def close(self) -> None:
        if self.closed:
            raise ConfigurationError("closed")
        self.closed = True


@mutant("BACKEND-006")
class OfAnotherAge(InMemoryBackend):
    """The backend was written against another major contract."""

    contract: ClassVar[str] = "0.9"
