"""What the installed distributions register: the only place where entry points are read.

Nothing is imported here except ``importlib.metadata``; loading one entry point is the registry's and the hooks' work.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
from dataclasses import dataclass
from typing import Any

BACKENDS = "focal.backends"
"""Group of backends: one of many, chosen by name."""
HOOKS = "focal.plugins"
"""Group of hook implementations: all of them act."""


@dataclass(frozen=True, order=True)
class Registration:
    """One entry point: a name, who registers it, and what it points to.

    Attributes:
        name: the name it is registered under.
        distribution: normalised name of the distribution, such as ``"focal-redis"``.
        version: version of the distribution.
        target: ``"module:attribute"``.
    """

    name: str
    distribution: str
    version: str
    target: str

    @property
    def qualified(self) -> str:
        """``name@distribution``, which tells twins apart."""
        return f"{self.name}@{self.distribution}"

    @property
    def origin(self) -> str:
        """Distribution and version, as shown to people."""
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """Import and return the target; whatever its import raises comes out."""
        return importlib.metadata.EntryPoint(self.name, self.target, "").load()


def normalised(distribution: str) -> str:
    """Return the name of a distribution in the one spelling that is compared."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@functools.cache
def registrations(group: str) -> tuple[Registration, ...]:
    """Return the registrations of a group by name, then distribution; read once per process (see ``refresh``)."""
    found = set()
    for entry in importlib.metadata.entry_points(group=group):
        metadata = None if entry.dist is None else entry.dist.metadata
        name, version = (metadata[key] if metadata and key in metadata else "unknown" for key in ("Name", "Version"))
        found.add(Registration(entry.name, normalised(name), version, entry.value))
    return tuple(sorted(found))


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def refresh() -> None:
    """Forget what was read: for a process in which distributions are installed while it runs, and for tests."""
    registrations.cache_clear()
