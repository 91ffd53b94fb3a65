"""The kit notices broken scripts of the session store: ``lua_mutants`` lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focal_testkit.servers.redis import ADDRESS, RedisServer

ROOT = Path(__file__).parents[3]
HERE = "tests/integration/redis"


@pytest.mark.parametrize(("tests", "mutants"), [("test_sessions", "sessions"), ("test_session_ttl", "expiry")])
def test_every_broken_script_is_noticed(tests: str, mutants: str, redis_server: RedisServer) -> None:
    """Every requirement that a mutant names fails on it, and every mutant changes a script that is run."""
    runner = [
        "-p",
        "focal_testkit.mutants.engine",
        "--sql-mutants",
        f"{HERE.replace('/', '.')}.lua_mutants.{mutants}",
    ]
    quiet = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    # A process of its own: mutants are run in place of the tests that it collects.
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, f"{HERE}/{tests}.py", *runner],
        cwd=ROOT,
        env={**inherited, ADDRESS: redis_server.url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "broken statements:" in result.stdout
