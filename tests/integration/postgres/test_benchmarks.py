"""Every benchmark on PostgreSQL, at a size that tells nothing of speed: is what it wrote there, what it found right?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from focal_testkit.servers.postgres import PostgresServer

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
FOUND = """
import harness
async def measure(server, given):
    return harness.Outcome([], {{}}, problems={problems}, below={below})
harness.main(measure, "a benchmark")
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the benchmarks."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCHMARKS, env=environment)


@pytest.mark.parametrize(
    "name",
    ["single_rows", "sessions_and_audit", "row_level_security", "vector_search", "text_and_graph", "bulk_episodes"],
)
def test_a_benchmark_finds_every_write_and_every_answer(
    name: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """PERFORMANCE 1.2: exit status 1 on an error, a lost write, or recall under its floor; and figures as JSON."""
    figures = tmp_path / "figures.json"
    done = run(f"{name}.py", "--smoke", "--url", postgres_server.url, "--json", figures)
    assert done.returncode == 0, done.stderr
    assert json.loads(figures.read_text())


@pytest.mark.parametrize(
    ("problems", "below", "flags", "status"),
    [
        ([], [], ["--strict"], 0),
        ([], ["slow"], [], 0),
        ([], ["slow"], ["--strict"], 1),
        (["a write is lost"], [], [], 1),
    ],
)
def test_what_is_wrong_fails_and_what_is_slow_fails_when_asked(
    problems: list[str], below: list[str], flags: list[str], status: int
) -> None:
    """PERFORMANCE 1.2: a speed below its target is printed, and a failure only under ``--strict``."""
    done = run("-c", FOUND.format(problems=problems, below=below), "--url", "postgresql://nowhere/none", *flags)
    assert done.returncode == status, done.stderr
    assert all(line in done.stderr for line in problems + below)
