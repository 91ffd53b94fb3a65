"""Deliberately broken backends: each names the requirements that must notice it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

C = TypeVar("C", bound=type[Any])


@dataclass(frozen=True)
class Mutant:
    """One broken variant of a reference store.

    Attributes:
        kills: ids of the requirements each of which must fail on it.
        store: the broken class.
        replaces: the reference class it is derived from.
        sentence: what is wrong with it.
    """

    kills: tuple[str, ...]
    store: type[Any]
    replaces: type[Any]
    sentence: str

    @property
    def name(self) -> str:
        """Return the name of the broken class with its module."""
        return f"{self.store.__module__.removeprefix('focal_testkit.mutants.')}.{self.store.__name__}"


MUTANTS: list[Mutant] = []
"""Every named mutant of the modules imported so far."""


def mutant(*kills: str) -> Callable[[C], C]:
    """Register a subclass of a reference store as a mutant.

    Args:
        kills: the requirements that must notice; every one of them must, on its own.
    """

    def register(broken: C) -> C:
        sentence = (inspect.getdoc(broken) or "").split("\n\n")[0].replace("\n", " ")
        MUTANTS.append(Mutant(kills, broken, broken.__bases__[0], sentence))
        return broken

    return register
