"""Broken statements: what they change, and what the runner makes of those that prove nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from focal_testkit.mutants.sql import SqlMutant, Trace

ROOT = Path(__file__).parents[2]

MODULE = """
from contextlib import contextmanager

from focal_testkit.mutants.sql import SqlMutant, Trace

MUTANTS = [SqlMutant(name, "audit", "", ("AUDIT-001",)) for name in ("whole", "stale", "refused")]


@contextmanager
def mutated(mutant, test_class):
    yield Trace(mutant, 0 if mutant.name == "stale" else 1, ["syntax error"] if mutant.name == "refused" else [])
"""


def test_only_statements_of_a_kind_are_changed() -> None:
    """A statement without what ``of`` looks for stays as it is, and only changed ones are counted."""
    mutant = SqlMutant("open", "audit", "A range is open.", ("AUDIT-004",), of="FROM turns.*WHERE", old=">=", new=">")
    trace = Trace(mutant)

    sent = [trace.apply(sql) for sql in ("SELECT FROM turns\nWHERE n >= $1", "SELECT FROM events WHERE n >= $1")]

    assert sent == ["SELECT FROM turns\nWHERE n > $1", "SELECT FROM events WHERE n >= $1"]
    assert trace.changed == 1


def test_what_proves_nothing_fails_the_run(tmp_path: Path) -> None:
    """A mutant that is not noticed, changes no statement or makes no SQL is a problem of the run."""
    (tmp_path / "broken_statements.py").write_text(MODULE, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    runner = [
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "focal_testkit.mutants.engine",
        "--sql-mutants",
        "broken_statements",
    ]

    result = subprocess.run(
        [sys.executable, "-m", "pytest", *runner, "tests/conformance/test_inmemory_audit.py"],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 of 3 noticed" in result.stdout
    assert result.stdout.count("is not noticed by AUDIT-001") == 3
    assert "stale is stale: no statement was changed" in result.stdout
    assert "refused is no SQL: syntax error" in result.stdout
