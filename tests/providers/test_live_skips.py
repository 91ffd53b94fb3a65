"""The live tests without a key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

LIVE = Path(__file__).with_name("test_live.py")
REASONS = {"ANTHROPIC_API_KEY not set", "OPENAI_API_KEY not set"}


def test_skip_without_key() -> None:
    """FR-021, SC-006: nothing fails, everything is skipped, and each reason names the variable; a blank key is none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "OPENAI_"))}
    command = [sys.executable, "-m", "pytest", str(LIVE), "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        env={**environment, "ANTHROPIC_API_KEY": " "},
        cwd=LIVE.parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"^SKIPPED \[\d+\] [^ ]+: (.+)$", done.stdout, re.MULTILINE)) == REASONS
    summary = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"\d+ skipped in .+", summary), summary
