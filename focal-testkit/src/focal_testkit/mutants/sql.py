"""Broken statements: changes of SQL text on its way to the server, for stores that speak SQL.

A module with ``MUTANTS`` and ``mutated`` is run by ``-p focal_testkit.mutants.engine --sql-mutants MODULE`` over the
collected contract tests: each mutant must be noticed by every requirement it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class SqlMutant:
    """One change of what a store asks of its database.

    Attributes:
        name: unique, a few words.
        port: such as ``"config"``.
        sentence: what is wrong with the store then.
        kills: ids of the requirements each of which must fail; with ``[case]`` behind it in that case, such as
            ``"STORE-001[get_rule]"``.
        of: regular expression that a statement has to contain to be changed.
        old: regular expression of what is replaced, everywhere in the statement.
        new: the replacement; may refer to groups of ``old``.
        schema: statements that break an empty database before the store uses it; ``of`` may be empty then.
        runs: how often a requirement may pass before it counts as not noticing: more than once for a lost race.
    """

    name: str
    port: str
    sentence: str
    kills: tuple[str, ...]
    of: str = ""
    old: str = ""
    new: str = ""
    schema: tuple[str, ...] = ()
    runs: int = 1

    def apply(self, sql: str) -> str:
        """Return the statement as the broken store sends it."""
        if not self.old or re.search(self.of, sql, re.DOTALL) is None:
            return sql
        return re.sub(self.old, self.new, sql, flags=re.DOTALL)


@dataclass
class Trace:
    """What became of a mutant's change while tests ran.

    Attributes:
        mutant: whose.
        changed: statements that were changed, or databases whose schema was.
        refused: why the server could not make sense of a changed statement; such a mutant proves nothing.
    """

    mutant: SqlMutant
    changed: int = 0
    refused: list[str] = field(default_factory=list)

    def apply(self, sql: str) -> str:
        """Return the statement as the broken store sends it, and count it if it differs."""
        broken = self.mutant.apply(sql)
        self.changed += broken != sql
        return broken


class SqlMutants(Protocol):
    """What a module gives to be run by ``--sql-mutants``."""

    MUTANTS: Sequence[SqlMutant]

    def mutated(self, mutant: SqlMutant, test_class: type[Any]) -> AbstractContextManager[Trace]:
        """Send every statement of the stores that a contract class opens through ``Trace.apply``, until exit."""
