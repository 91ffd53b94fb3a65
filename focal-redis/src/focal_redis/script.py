"""The Lua scripts of ``scripts/``: what the server runs as one step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Script:
    """A script by its text.

    Attributes:
        name: its file's, without ``.lua``.
        source: the text.
        sha: the name the server's cache knows it by.
    """

    name: str
    source: bytes
    sha: bytes

    @classmethod
    def of(cls, name: str, source: bytes) -> Script:
        """Return a script of a text."""
        # Redis names scripts by SHA-1; nothing is protected by it.
        return cls(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())

    @classmethod
    def load(cls, name: str) -> Script:
        """Return a script of this package, by its name."""
        return _load(name)


@cache
def _load(name: str) -> Script:
    return Script.of(name, resources.files("focal_redis").joinpath("scripts", f"{name}.lua").read_bytes())
