"""The bundled demo: its files are right, and the command shows what happened."""

from __future__ import annotations

from importlib.resources import as_file, files
from uuid import UUID

import pytest
from typer.testing import CliRunner

from focal_core.app import Focal
from focal_core.cli.main import app
from focal_core.cli.replay import IN_MEMORY
from focal_core.demo.agent_file import AgentDefinition, read_agent_file
from focal_core.demo.conversations import ConversationFile, Line
from focal_core.demo.replay import replay
from focal_core.errors import NotFoundError

TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")


@pytest.fixture
def bundled() -> tuple[AgentDefinition, list[Line]]:
    with as_file(files("focal_core.demo") / "data") as folder:
        return read_agent_file(folder / "agent.toml", TENANT), list(ConversationFile(folder / "conversations.jsonl"))


@pytest.mark.asyncio
async def test_the_bundled_log_replays_without_a_problem(bundled: tuple[AgentDefinition, list[Line]]) -> None:
    """Every turn of the bundled conversations is stored, rules match, and nothing is refused."""
    agent, log = bundled
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
    assert [str(problem.error) for problem in report.problems] == []
    assert report.sessions == len(log) == 8
    assert report.turns == sum(len(line.conversation.turns) for line in log if line.conversation is not None)
    assert report.rules_matched >= 12
    assert report.fields_unchanged >= 1


@pytest.mark.asyncio
async def test_every_rule_scenario_and_personal_field_of_the_bundled_agent_is_used(
    bundled: tuple[AgentDefinition, list[Line]],
) -> None:
    """What the demo configures it also shows: no rule that never matches, no scenario that is never entered."""
    agent, log = bundled
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
        turns = await focal.tenant(TENANT).audit.list_turns_by_tenant(limit=1000)
    matched = {rule_id for turn in turns for rule_id in turn.rules_matched}
    assert [rule.name for rule in agent.rules if rule.id not in matched] == []
    entered = {turn.scenario_state.scenario_id for turn in turns if turn.scenario_state is not None}
    assert entered == set(agent.scenario_ids.values())
    collected = {name for names in report.collected.values() for name in names}
    assert {one.name for one in agent.fields if one.is_pii} <= collected
    assert report.missing["track an order"] == {"order_number": 1}


def test_command_shows_the_summary_and_one_conversation_in_full() -> None:
    """The output has counts, and for one conversation rules with scores, fields with origin, recall and audit."""
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    for part in (
        "8 conversations",
        "turns per second",
        "Conversation mail-3001",
        "mara.quill@example.com",
        "webchat visitor-58",
        "wants to return",
        "recalled",
        "order_number = 'AF-20417' (known already)",
        "returns.create",
        "return a book / arrange; still to ask: nothing",
        "(personal)",
        "user_provided",
        "web-1001, turn 2",
        "superseded",
        "recorded",
    ):
        assert part in result.stdout, part


def test_command_shows_the_conversation_that_is_asked_for() -> None:
    """--conversation chooses; an unknown one is an error with the known ones."""
    result = CliRunner().invoke(app, ["demo", "--conversation", "wa-2001"])
    assert "12 Wharf Lane, Bristol" in result.stdout
    result = CliRunner().invoke(app, ["demo", "--conversation", "wa-2002"])
    assert result.exit_code == 1
    assert isinstance(result.exception, NotFoundError)
    assert "did you mean 'wa-2001'?" in (result.exception.hint or "")
