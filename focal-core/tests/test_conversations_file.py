"""The conversation log: what a line may hold, and how wrong lines are told."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from focal_core.demo.conversations import ConversationFile, Line
from focal_core.errors import SettingsError
from focal_core.profile.models import ProfileFieldSource


def record(**changes: Any) -> dict[str, Any]:
    return {"conversation_id": "c1", "channel": "webchat", "user": "u1", "turns": [{"user": "hello"}], **changes}


def read(folder: Path, *lines: str | bytes) -> list[Line]:
    path = folder / "log.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return list(ConversationFile(path))


def test_a_line_is_a_conversation(tmp_path: Path) -> None:
    """Every key of the format is read, times become UTC, and both forms of fields mean the same."""
    written = record(
        customer="K9",
        started_at="2025-01-01T10:00:00+02:00",
        turns=[
            {"user": "", "assistant": "Hello!"},
            {
                "user": "a@example.org",
                "at": "2025-01-01T10:01:00+02:00",
                "scenario": "sign up",
                "step": "ask",
                "fields": {"email": "a@example.org"},
                "tools": [{"tool": "check", "input": {"a": 1}, "output": [True], "success": False, "error": "no"}],
                "latency_ms": 3.5,
            },
            {"user": "x", "scenario": None, "fields": [{"name": "n", "value": 1, "source": "llm_extracted"}]},
        ],
    )
    (line,) = read(tmp_path, json.dumps(written))
    assert line.error is None
    assert line.conversation is not None
    assert line.conversation.started_at == datetime(2025, 1, 1, 8, tzinfo=UTC)
    first, second, third = line.conversation.turns
    assert (first.user, first.assistant) == ("", "Hello!")
    assert (second.fields[0].name, second.fields[0].value, second.fields[0].confidence) == ("email", "a@example.org", 1)
    assert second.fields[0].source is ProfileFieldSource.USER_PROVIDED
    assert third.fields[0].source is ProfileFieldSource.LLM_EXTRACTED
    assert second.tools[0].output == [True]
    # A scenario left out goes on, a null scenario is left.
    assert "scenario" not in first.model_fields_set
    assert "scenario" in third.model_fields_set


def test_blank_lines_count_but_hold_nothing(tmp_path: Path) -> None:
    """Line numbers are those of an editor, blank lines and a byte order mark included."""
    lines = read(tmp_path, b"\xef\xbb\xbf" + json.dumps(record()).encode(), "", "  ", "nonsense")
    assert [line.number for line in lines] == [1, 4]
    assert lines[0].error is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("{", "is not JSON", id="cut"),
        pytest.param("[" * 100_000, "is not JSON", id="nested-too-deep"),
        pytest.param("[1]", "is not a JSON object", id="array"),
        pytest.param(b'{"conversation_id": "\xff"}', "is not UTF-8", id="bytes"),
        pytest.param(json.dumps(record(turns=[])), "turns: ", id="no-turns"),
        pytest.param(json.dumps(record(user="")), "user: ", id="blank-user"),
        pytest.param(json.dumps(record(channel="Über")), "channel: ", id="channel"),
        pytest.param(json.dumps(record(usr="x")), "usr: Extra inputs", id="unknown-key"),
        pytest.param(json.dumps(record(turns=[{"user": "a", "assitant": "b"}])), "turns.0.assitant", id="key-in-turn"),
        pytest.param(json.dumps(record(turns=[{"user": ""}])), "a user or an assistant text", id="silent-turn"),
        pytest.param(json.dumps(record(started_at="2025-01-01T10:00:00")), "started_at: ", id="naive-time"),
        pytest.param(
            json.dumps(record(turns=[{"user": "a", "fields": [{"name": "n", "value": 1, "confidence": 2}]}])),
            "turns.0.fields.0.confidence",
            id="confidence",
        ),
        pytest.param('{"conversation_id": NaN}', "conversation_id", id="not-a-number"),
    ],
)
def test_a_wrong_line_is_told_and_its_neighbours_are_read(tmp_path: Path, line: str | bytes, reason: str) -> None:
    """A line that is no conversation gives its number and a reason; the lines around it are conversations."""
    before, wrong, after = read(tmp_path, json.dumps(record()), line, json.dumps(record(conversation_id="c2")))
    assert before.conversation is not None
    assert after.conversation is not None
    assert wrong.conversation is None
    assert wrong.error is not None
    assert wrong.error.message.startswith("line 2: ")
    assert reason in wrong.error.message
    assert wrong.error.code == "conversation_invalid"
    assert wrong.error.hint


def test_a_wrong_line_does_not_repeat_what_the_customer_said(tmp_path: Path) -> None:
    """Messages name keys and reasons, never values: they end up in logs."""
    (wrong,) = read(tmp_path, json.dumps(record(turns=[{"user": "my secret", "at": "my secret"}])))
    assert wrong.error is not None
    assert "secret" not in wrong.error.message


def test_a_conversation_id_occurs_once(tmp_path: Path) -> None:
    """The second line with an id is wrong and names the first one."""
    lines = read(tmp_path, json.dumps(record()), json.dumps(record(conversation_id="c2")), json.dumps(record()))
    assert lines[2].error is not None
    assert "'c1' is that of line 1" in lines[2].error.message


def test_a_gzipped_log_reads_like_a_plain_one(tmp_path: Path) -> None:
    """Packed files are known by their content, whatever they are called."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(gzip.compress(json.dumps(record()).encode()))
    (line,) = ConversationFile(path)
    assert line.conversation is not None


def test_a_damaged_archive_ends_with_a_wrong_line(tmp_path: Path) -> None:
    """What could be unpacked is read; the damage is told as a wrong line, not as an exception."""
    path = tmp_path / "log.jsonl.gz"
    lines = [json.dumps(record(conversation_id=f"c{number}", user=f"u{number * 7919}")) for number in range(5000)]
    packed = gzip.compress("\n".join(lines).encode())
    path.write_bytes(packed[: len(packed) // 2])
    read_lines = list(ConversationFile(path))
    assert read_lines[0].conversation is not None
    assert read_lines[-1].error is not None
    assert "damaged" in read_lines[-1].error.message


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    """A path that cannot be read is told before anything is replayed."""
    with pytest.raises(SettingsError, match=r"nowhere\.jsonl: cannot read") as caught:
        ConversationFile(tmp_path / "nowhere.jsonl")
    assert caught.value.hint


def test_position_reaches_size(tmp_path: Path) -> None:
    """The share of the file that was read is known while it is read, packed or not."""
    for content in (b"\n".join(json.dumps(record(conversation_id=f"c{n}")).encode() for n in range(50)),):
        for data in (content, gzip.compress(content)):
            path = tmp_path / "log"
            path.write_bytes(data)
            log = ConversationFile(path)
            assert log.position == 0
            assert len(list(log)) == 50
            assert log.position == log.size == len(data)


def test_reading_holds_one_line_at_a_time(tmp_path: Path) -> None:
    """Memory does not grow with the file: 40 MB are read within a few megabytes."""
    path = tmp_path / "log.jsonl"
    with path.open("w") as out:
        for number in range(400):
            out.write(json.dumps(record(conversation_id=f"c{number}", turns=[{"user": "x" * 100_000}])) + "\n")
    tracemalloc.start()
    try:
        count = sum(line.conversation is not None for line in ConversationFile(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 400
    assert peak < 5_000_000
