"""The demo on embedded servers: nothing is installed or started beforehand, and what was stored stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def demo(folder: Path) -> str:
    command = [Path(sys.executable).with_name("focal"), "demo", "--embedded", folder]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_demo_on_embedded_servers_names_them_and_keeps_what_it_stored(servers_folder: Path) -> None:
    """The summary names both servers, their versions and folders; a second run finds everything stored."""
    folder = servers_folder / "demo"
    first, second = demo(folder), demo(folder)

    flat = "".join(first.split())
    assert "PostgreSQL18" in flat
    assert "Redis6" in flat or "Redis7" in flat
    for name in ("postgres", "redis"):
        assert f"embeddedin{folder.resolve() / name}" in flat
    assert "Nothing was new" not in first
    assert "Nothing was new" in second
