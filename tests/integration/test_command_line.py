"""The installed command, from an empty folder to a replayed log: the path a new user takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOCAL = Path(sys.executable).with_name("focal")
AGENT = """
[agent]
name = "front desk"

[[rules]]
name = "opening hours"
condition = "the caller asks about opening hours"
action = "We are open from nine to five."

[[fields]]
name = "room"
value_type = "string"

[[scenarios]]
name = "book a room"

[[scenarios.steps]]
name = "ask"
transitions = [{ to = "confirm", condition = "a room is chosen" }]

[[scenarios.steps]]
name = "confirm"

[[scenarios.requirements]]
field = "room"
"""


def focal(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a folder."""
    return subprocess.run([FOCAL, *arguments], cwd=folder, capture_output=True, text=True)


def conversation(number: int) -> str:
    """Return one line of a log."""
    turns = [
        {"user": "What are your opening hours?", "assistant": "Nine to five."},
        {"user": "The blue room.", "assistant": "Noted.", "scenario": "book a room", "fields": {"room": "blue"}},
    ]
    return json.dumps({"conversation_id": f"c{number}", "channel": "webchat", "user": f"u{number}", "turns": turns})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an agent and a log of three conversations."""
    (tmp_path / "agent.toml").write_text(AGENT)
    (tmp_path / "log.jsonl").write_text("\n".join(map(conversation, range(3))) + "\n")
    return tmp_path


def test_from_an_empty_folder_to_a_replayed_log(folder: Path) -> None:
    """init writes settings that doctor accepts and replay runs with."""
    assert focal(folder, "init").returncode == 0
    assert focal(folder, "doctor").returncode == 0

    done = focal(folder, "replay", "log.jsonl", "--agent", "agent.toml", "--config", "focal.toml", "--json")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    counts = {
        name: summary[name] for name in ("sessions", "turns", "episodes", "fields_collected", "skipped", "errors")
    }
    assert counts == {"sessions": 3, "turns": 6, "episodes": 6, "fields_collected": 3, "skipped": 0, "errors": 0}
    assert summary["turns_per_second"] > 0
    assert summary["seconds"] > 0


def test_a_malformed_line_is_told_and_the_run_goes_on(folder: Path) -> None:
    """One bad line costs that line and the exit code; --strict stops there."""
    with (folder / "log.jsonl").open("a") as log:
        log.write("{not json\n" + conversation(9) + "\n")

    done = focal(folder, "replay", "log.jsonl", "--agent", "agent.toml", "--json")
    strict = focal(folder, "replay", "log.jsonl", "--agent", "agent.toml", "--strict")

    assert done.returncode != 0
    assert (json.loads(done.stdout)["sessions"], json.loads(done.stdout)["errors"]) == (4, 1)
    assert "4" in done.stderr
    assert strict.returncode != 0
    assert "Traceback" not in done.stderr + strict.stderr


@pytest.mark.parametrize(
    ("broken", "arguments", "expected"),
    [
        ("", ["doctor", "--config", "misspelt.toml"], "did you mean 'inmemory'?"),
        ("", ["config", "show", "--config", "unknown.toml"], "did you mean 'isolation'?"),
        ("", ["replay", "nowhere.jsonl", "--agent", "agent.toml"], "nowhere.jsonl"),
        ("", ["replay", "log.jsonl", "--agent", "agent.toml", "--tenant", "acme"], "--tenant"),
        ("confirm", ["replay", "log.jsonl", "--agent", "agent.toml"], "confrim"),
    ],
    ids=["misspelt backend", "unknown key", "missing file", "wrong tenant", "dangling step"],
)
def test_mistakes_get_one_clear_message(folder: Path, broken: str, arguments: list[str], expected: str) -> None:
    """Each mistake a new user makes is named with its fix, without a traceback, and fails."""
    (folder / "misspelt.toml").write_text('[stores]\ndefault = "inmemry"\n')
    (folder / "unknown.toml").write_text('isolatoin = "strict"\n')
    if broken:
        (folder / "agent.toml").write_text(AGENT.replace(f'to = "{broken}"', 'to = "confrim"'))

    done = focal(folder, *arguments)

    assert done.returncode != 0
    assert expected in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
