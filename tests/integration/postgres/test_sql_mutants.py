"""The kit notices broken statements of the PostgreSQL stores: ``sql_mutants`` lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focal_testkit.servers.postgres import ADDRESS, PostgresServer

ROOT = Path(__file__).parents[3]
HERE = "tests/integration/postgres"


@pytest.mark.parametrize("port", ["config", "memory", "sessions", "audit", "profiles"])
def test_every_broken_statement_is_noticed(port: str, postgres_server: PostgresServer) -> None:
    """Every requirement that a mutant names fails on it, and every mutant changes a statement that is sent."""
    runner = ["-p", "focal_testkit.mutants.engine", "--sql-mutants", f"{HERE.replace('/', '.')}.sql_mutants"]
    quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    # A process of its own: mutants are run in place of the tests that it collects.
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, f"{HERE}/test_{port}.py", *runner],
        cwd=ROOT,
        env={**inherited, ADDRESS: postgres_server.url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "broken statements:" in result.stdout
