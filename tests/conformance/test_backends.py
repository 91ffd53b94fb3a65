"""The backends of focal-core under the contract of plugins."""

from __future__ import annotations

from typing import ClassVar

from focal_core.inmemory.backend import InMemoryBackend
from focal_core.plugins.backend import Backend
from focal_testkit.contracts.backend import BackendContract


class TestInMemoryBackend(BackendContract):
    backend: ClassVar[str] = "inmemory"

    def backend_class(self) -> type[Backend]:
        return InMemoryBackend


class TestHashingBackend(BackendContract):
    backend: ClassVar[str] = "hashing"


class TestScriptedBackend(BackendContract):
    backend: ClassVar[str] = "scripted"
