"""``focal replay``: what it prints, for people and for programs, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from focal_core.cli.main import app
from focal_core.errors import InvalidDataError, SettingsError

TENANT = "018f0000-0000-7000-8000-0000000000a1"
AGENT = """
[agent]
name = "helper"
[[fields]]
name = "email"
value_type = "email"
[[fields]]
name = "city"
[[rules]]
name = "sign up"
condition = "The user wants to sign up"
action = "Start it."
[[scenarios]]
name = "sign up"
[[scenarios.steps]]
name = "ask"
[[scenarios.requirements]]
field = "email"
[[scenarios.requirements]]
field = "city"
"""


def run(folder: Path, *arguments: str, records: Iterable[Any] = ()) -> Any:
    (folder / "agent.toml").write_text(AGENT, encoding="utf-8")
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = ["replay", str(folder / "log.jsonl"), "--agent", str(folder / "agent.toml"), *arguments]
    return CliRunner().invoke(app, command)


def conversation(id: str = "c1") -> dict[str, Any]:
    turn = {"user": "The user wants to sign up", "fields": {"city": "York"}, "scenario": "sign up"}
    return {"conversation_id": id, "channel": "webchat", "user": id, "turns": [turn, {"user": "b"}]}


def test_command_prints_one_json_object(tmp_path: Path) -> None:
    """--json puts exactly one object on stdout, with the integers and numbers that programs rely on."""
    result = run(tmp_path, "--json", "--concurrency", "4", records=[conversation("c1"), conversation("c2")])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    expected = {"sessions": 2, "turns": 4, "episodes": 4, "fields_collected": 2, "skipped": 0, "errors": 0}
    assert {name: summary[name] for name in expected} == expected
    assert all(type(summary[name]) is int for name in expected)
    assert summary["seconds"] > 0
    assert summary["turns_per_second"] > 0
    assert summary["stores"]["audit"]["operations"] >= 4
    assert summary["scenarios"]["sign up"] == {"collected": {"city": 2}, "missing": {"email": 2}}


def test_command_prints_a_summary_for_people(tmp_path: Path) -> None:
    """Without --json the summary names counts, scenarios, stores, and says that nothing is kept."""
    result = run(tmp_path, records=[conversation()])
    assert result.exit_code == 0, result.output
    for part in ("in memory, gone now", "rules matched", "sign up", "city 1", "email 1", "turns per second", "audit"):
        assert part in result.stdout


def test_command_goes_on_after_a_malformed_line_and_ends_with_one(tmp_path: Path) -> None:
    """A malformed line is told with its number, the others are replayed, the exit code is not zero."""
    result = run(tmp_path, records=[conversation("c1"), "{nonsense", conversation("c3")])
    assert result.exit_code == 1
    assert "line 2: is not JSON" in result.stdout
    result = run(tmp_path, "--json", records=[conversation("c1"), "{nonsense", conversation("c3")])
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert (summary["sessions"], summary["errors"], summary["problems"][0]["line"]) == (2, 1, 2)


def test_command_stops_when_strict(tmp_path: Path) -> None:
    """--strict ends at the malformed line with an error and without a summary."""
    result = run(tmp_path, "--strict", records=["{nonsense", conversation("c1")])
    assert result.exit_code == 1
    assert isinstance(result.exception, InvalidDataError)
    assert "line 1: is not JSON" in str(result.exception)
    assert "turns" not in result.stdout


def test_command_uses_the_configuration_and_tenant_that_are_named(tmp_path: Path) -> None:
    """--config chooses the backends, --tenant whose stores are filled."""
    (tmp_path / "focal.toml").write_text('[stores]\ndefault = "nowhere"\n', encoding="utf-8")
    result = run(tmp_path, "--config", str(tmp_path / "focal.toml"), records=[conversation()])
    assert result.exit_code == 1
    assert "nowhere" in str(result.exception)
    result = run(tmp_path, "--tenant", TENANT, records=[conversation()])
    assert TENANT in result.stdout


def test_command_tells_what_is_wrong_with_its_files(tmp_path: Path) -> None:
    """A missing log or agent file is focal's error with a hint, before anything is opened."""
    result = run(tmp_path, records=[conversation()])
    assert result.exit_code == 0
    for missing in ("log.jsonl", "agent.toml"):
        (tmp_path / missing).rename(tmp_path / "kept")
        command = ["replay", str(tmp_path / "log.jsonl"), "--agent", str(tmp_path / "agent.toml")]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert isinstance(result.exception, SettingsError)
        assert str(tmp_path / missing) in result.exception.message
        assert result.exception.hint
        (tmp_path / "kept").rename(tmp_path / missing)
