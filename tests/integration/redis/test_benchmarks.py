"""The benchmark on Redis, at a size that tells nothing of speed: is what it wrote there, what it found right?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from focal_testkit.servers.redis import RedisServer

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def test_the_benchmark_finds_every_save_and_keeps_its_budget(redis_server: RedisServer, tmp_path: Path) -> None:
    """PERFORMANCE 1.2: exit status 1 on an error, a lost save or a round trip too many; and figures as JSON."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "redis_sessions.py", "--smoke", "--url", redis_server.url, "--json", str(figures)]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCHMARKS, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(figures.read_text())["round_trips"]["hot load"] == 1
