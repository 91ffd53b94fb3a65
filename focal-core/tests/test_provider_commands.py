"""``focal ask``, ``focal embed`` and ``focal replay --llm``: what they print, store and cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from focal_core import Focal
from focal_core.cli import embed as embed_module
from focal_core.cli.main import app
from focal_core.demo.agent_file import read_agent_file
from focal_core.demo.conversations import ConversationFile
from focal_core.demo.replay import ReplayOptions, replay
from focal_core.errors import InvalidDataError, RateLimited
from focal_core.providers.scripted import ScriptedLLM

TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")
AGENT = """
[agent]
name = "helper"
system_prompt = "You are a helper."
[[fields]]
name = "city"
[[rules]]
name = "sign up"
condition = "The user wants to sign up"
action = "Ask for the city."
[[scenarios]]
name = "sign up"
[[scenarios.steps]]
name = "ask"
[[scenarios.requirements]]
field = "city"
"""


def settings(folder: Path, script: str, more: str = "") -> Path:
    file = folder / "focal.toml"
    file.write_text(
        f'[stores]\ndefault = "inmemory"\n[providers]\nllm = "scripted"\nembedding = "hashing"\n'
        f"[backends.scripted]\n{script}\n{more}",
        encoding="utf-8",
    )
    return file


def invoke(*arguments: Any, text: str | None = None) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


def test_ask_streams_the_answer_and_says_what_it_cost(tmp_path: Path) -> None:
    """The answer alone is on stdout, usage and cost on stderr."""
    config = settings(tmp_path, 'script = ["Hello, you."]\nchunk_size = 3')
    result = invoke("ask", "Who is there?", "--config", config)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Hello, you.\n"
    assert "focal-scripted-1" in result.stderr
    assert "tokens in" in result.stderr
    assert "cost unknown" in result.stderr


def test_ask_reads_the_question_from_standard_input(tmp_path: Path) -> None:
    """A dash stands for what is piped in."""
    config = settings(tmp_path, '[backends.scripted.when]\n"piped" = "yes"')
    assert invoke("ask", "-", "--config", config, text="a piped question").stdout == "yes\n"


def test_ask_refuses_an_empty_question(tmp_path: Path) -> None:
    """Nothing is sent for nothing."""
    config = settings(tmp_path, 'script = ["x"]')
    assert isinstance(invoke("ask", " ", "--config", config).exception, InvalidDataError)


def test_ask_tells_an_answer_that_ended_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and the reason."""
    config = settings(tmp_path, 'script = ["Hello"]')
    take = ScriptedLLM._take

    def cut(self: ScriptedLLM, request: Any) -> Any:
        return take(self, request).model_copy(update={"finish_reason": "length"})

    monkeypatch.setattr(ScriptedLLM, "_take", cut)
    result = invoke("ask", "x", "--config", config)
    assert result.exit_code == 1
    assert result.stdout == "Hello\n"
    assert "ended early: length" in result.stderr


def test_embed_stores_each_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines become episodes that a search finds; stored ones are not embedded again; equal lines are two episodes."""
    config = settings(tmp_path, 'script = ["x"]')
    lines = tmp_path / "notes.txt"
    lines.write_text("the parcel is late\n\n  a refund was paid \nthe parcel is late\n", encoding="utf-8")
    opened = Focal.open(config)
    focal = asyncio.run(opened._open())
    monkeypatch.setattr(embed_module.Focal, "open", lambda _: _Lent(focal))

    first = invoke("embed", lines, "--tenant", TENANT, "--batch-size", 2)
    second = invoke("embed", lines, "--tenant", TENANT)

    assert first.exit_code == 0, first.output
    assert "3 episodes stored, 0 were there already" in first.stdout
    assert "0 episodes stored, 3 were there already" in second.stdout
    stored = asyncio.run(focal.memory.text_search_episodes("parcel", "notes.txt", tenant_id=TENANT))
    assert [episode.content for episode in stored] == ["the parcel is late"] * 2
    assert all(len(episode.embedding or ()) == 384 for episode in stored)


class _Lent:
    """A Focal that somebody else closes."""

    def __init__(self, focal: Focal) -> None:
        self._focal = focal

    async def __aenter__(self) -> Focal:
        return self._focal

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_embed_names_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """Missing, or not text: an error that names the file."""
    file = tmp_path / "notes.txt"
    if content is not None:
        file.write_bytes(content)
    error = invoke("embed", file).exception
    assert isinstance(error, InvalidDataError)
    assert "notes.txt" in str(error)


def conversation_log(folder: Path) -> ConversationFile:
    turns = [
        {"user": "I want to sign up", "assistant": "logged answer", "scenario": "sign up"},
        {"user": "in York", "assistant": "another", "fields": {"city": "York"}},
    ]
    record = {"conversation_id": "c1", "channel": "webchat", "user": "u1", "turns": turns}
    (folder / "log.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (folder / "agent.toml").write_text(AGENT, encoding="utf-8")
    return ConversationFile(folder / "log.jsonl")


@pytest.mark.asyncio
async def test_replay_with_a_model_stores_its_answers(tmp_path: Path) -> None:
    """The model is told prompt, rules, scenario, missing fields and history; its answers are stored, with usage."""
    log = conversation_log(tmp_path)
    async with Focal.open(settings(tmp_path, 'script = ["Which city?", "Thank you."]')) as focal:
        agent = read_agent_file(tmp_path / "agent.toml", TENANT)
        report = await replay(focal, agent, log, ReplayOptions(llm=True))
        turns = await focal.audit.list_turns_by_tenant(TENANT)
        again = await replay(focal, agent, log, ReplayOptions(llm=True))
        calls = focal.backends["scripted"].port("llm").calls

    assert {turn.user_message: turn.assistant_response for turn in turns} == {
        "I want to sign up": "Which city?",
        "in York": "Thank you.",
    }
    assert report.usage is not None
    assert report.as_dict()["llm"]["requests"] == 2
    assert again.usage is None
    assert len(calls) == 2
    first, second = calls
    assert "You are a helper." in first.system
    assert "Ask for the city." in first.system
    assert "'sign up'" in first.system
    assert "Still to be asked for: city" in first.system
    assert [message.text for message in second.messages] == ["I want to sign up", "Which city?", "in York"]
    assert "Still to be asked for" not in second.system


@pytest.mark.asyncio
async def test_replay_with_a_model_that_fails_goes_on_from_there(tmp_path: Path) -> None:
    """An error of the provider ends the replay; the next one asks only for what is not stored."""
    log = conversation_log(tmp_path)
    async with Focal.open(settings(tmp_path, 'script = ["x"]')) as focal:
        agent = read_agent_file(tmp_path / "agent.toml", TENANT)
        llm = focal.backends["scripted"].port("llm")
        llm._script = ["Which city?", RateLimited("slow down", provider="scripted"), "Thank you."]
        with pytest.raises(RateLimited):
            await replay(focal, agent, log, ReplayOptions(llm=True))
        report = await replay(focal, agent, log, ReplayOptions(llm=True))

    assert (report.turns, report.skipped) == (1, 1)
    assert len(llm.calls) == 3


def test_replay_without_a_model_says_what_to_set(tmp_path: Path) -> None:
    """--llm without a configured model is an error that names the setting."""
    conversation_log(tmp_path)
    result = invoke("replay", tmp_path / "log.jsonl", "--agent", tmp_path / "agent.toml", "--llm")
    assert "llm" in str(result.exception)
