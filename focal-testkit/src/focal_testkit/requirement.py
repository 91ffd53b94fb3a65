"""Requirements: what a contract test carries besides its body."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Requirement:
    """One sentence of a contract and the test that checks it.

    Attributes:
        id: such as ``"AUDIT-004"``; never reused, never renumbered.
        since: the contract version that brought it.
        sentence: the first line of the test's docstring.
        test: module and qualified name of the test function.
        needs: capability without which it does not apply.
        unless: capability with which it does not apply.
    """

    id: str
    since: str
    sentence: str
    test: str
    needs: str | None = None
    unless: str | None = None


CATALOGUE: dict[str, Requirement] = {}
"""Every requirement of the contracts imported so far, by id."""


def requirement(id: str, *, since: str, needs: str | None = None, unless: str | None = None) -> Callable[[F], F]:
    """Mark a contract test as the check of one requirement.

    Args:
        id: unique over all contracts.
        since: contract version.
        needs: the test applies only to stores that declare this capability.
        unless: the test applies only to stores that do not declare this capability.

    Raises:
        ValueError: the id is taken, or the test has no docstring.
    """

    def decorate(test: F) -> F:
        sentence = (inspect.getdoc(test) or "").split("\n\n")[0].replace("\n", " ").strip()
        if not sentence:
            raise ValueError(f"{test.__qualname__} ({id}) needs a docstring: the sentence of the contract")
        found = Requirement(id, since, sentence, f"{test.__module__}.{test.__qualname__}", needs, unless)
        if CATALOGUE.setdefault(id, found).test != found.test:
            raise ValueError(f"{id} is used by {CATALOGUE[id].test} and by {found.test}")
        test.requirement = found  # type: ignore[attr-defined]
        marked: F = pytest.mark.requirement(id)(test)
        if inspect.iscoroutinefunction(test):
            marked = pytest.mark.asyncio(marked)
        return marked

    return decorate
