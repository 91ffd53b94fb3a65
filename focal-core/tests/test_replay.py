"""The replay: what a turn leaves in every store, order, repetition, interruption, problems."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from focal_core.app import Focal
from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel, TransitionReason
from focal_core.demo.agent_file import AgentDefinition, read_agent_file, stable_id
from focal_core.demo.conversations import Conversation, Line
from focal_core.demo.replay import ReplayOptions, replay
from focal_core.errors import InvalidDataError, StoreUnavailableError
from focal_core.memory import groups
from focal_core.memory.models import EpisodeSource
from focal_core.profile.models import ItemStatus, ProfileFieldSource, SourceType

TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")
IN_MEMORY = {"stores": {"default": "inmemory"}, "providers": {"embedding": "hashing"}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)

AGENT = """
[agent]
name = "helper"
[[fields]]
name = "email"
value_type = "email"
[[fields]]
name = "city"
[[fields]]
name = "age"
value_type = "number"
[[variables]]
name = "language"
default_value = "en"
[[rules]]
name = "sign up"
condition = "The user wants to sign up"
action = "Start it."
[[rules]]
name = "no address"
condition = "I have no mail address"
action = "Stop."
scenario = "sign up"
step = "ask"
[[rules]]
name = "once"
condition = "tell me a joke"
action = "Tell it."
max_fires_per_session = 1
[[rules]]
name = "seldom"
condition = "sing me a song"
action = "Sing."
cooldown_turns = 1
[[scenarios]]
name = "sign up"
[[scenarios.steps]]
name = "ask"
transitions = [{ to = "finish", condition = "known" }]
[[scenarios.steps]]
name = "finish"
[[scenarios.requirements]]
field = "email"
[[scenarios.requirements]]
field = "city"
"""


@pytest.fixture
def agent(tmp_path: Path) -> AgentDefinition:
    (tmp_path / "agent.toml").write_text(AGENT, encoding="utf-8")
    return read_agent_file(tmp_path / "agent.toml", TENANT)


def line(*turns: Any, id: str = "c1", number: int = 1, **keys: Any) -> Line:
    logged = [{"user": turn} if isinstance(turn, str) else turn for turn in turns]
    record = {"conversation_id": id, "channel": "webchat", "user": "u1", "turns": logged, **keys}
    return Line(number, Conversation.model_validate(record))


def session_of(id: str = "c1") -> UUID:
    return stable_id(TENANT, "helper", "session", id)


async def contents(focal: Focal, agent: AgentDefinition, sessions: Iterable[str]) -> list[Any]:
    """Everything a replay stores, for comparison."""
    stores, found = focal.tenant(TENANT), []
    for profile in await stores.profiles.list_profiles():
        found.append(await stores.profiles.get_by_id(profile.id, include_history=True))
        found.append(await stores.memory.list_episodes(groups.customer(profile.id)))
    for id in sessions:
        found.append(await stores.sessions.get(session_of(id)))
        found.append(await stores.audit.list_turns_by_session(session_of(id)))
    return found


@pytest.mark.asyncio
async def test_a_turn_reaches_every_store(agent: AgentDefinition) -> None:
    """Profile, session, audit and memory of a conversation hold what the log says, at the times it says."""
    at = "2025-05-05T05:05:05Z"
    log = [
        line(
            {
                "user": "The user wants to sign up",
                "assistant": "Your address?",
                "scenario": "sign up",
                "at": at,
                "fields": [{"name": "email", "value": "a@example.org", "source": "llm_extracted", "confidence": 0.9}],
                "tools": [{"tool": "check", "input": {"a": 1}, "output": "ok", "latency_ms": 2}],
                "latency_ms": 7,
            },
            {"user": "done", "step": "finish", "at": "2025-05-05T05:06:05Z"},
        )
    ]
    async with Focal.open(IN_MEMORY, clock=ManualClock(NOW)) as focal:
        report = await replay(focal, agent, log)
        stores = focal.tenant(TENANT)
        profile = await stores.profiles.get_by_channel_identity(Channel.WEBCHAT, "u1")
        session = await stores.sessions.get(session_of())
        turns = await stores.audit.list_turns_by_session(session_of())
        assert profile is not None
        episodes = await stores.memory.list_episodes(groups.customer(profile.id))
    assert session is not None
    assert (report.sessions, report.turns, report.episodes, report.fields_collected) == (1, 2, 2, 1)
    assert (report.skipped, report.errors) == (0, 0)

    scenario = agent.scenarios[0]
    email = profile.fields["email"]
    assert (email.value, email.source, email.confidence) == ("a@example.org", ProfileFieldSource.LLM_EXTRACTED, 0.9)
    assert (email.source_session_id, email.source_scenario_id) == (session_of(), scenario.id)
    assert email.source_step_id == scenario.steps[0].id
    assert email.source_item_type is SourceType.SESSION
    assert email.source_metadata["turn_id"] == str(turns[0].id)
    assert email.collected_at == datetime(2025, 5, 5, 5, 5, 5, tzinfo=UTC)
    assert email.field_definition_id == agent.fields[0].id

    assert turns[0].rules_matched[0] == agent.rules[0].id
    assert turns[0].extra["rule_scores"][str(agent.rules[0].id)] == pytest.approx(1.0)
    assert turns[0].extra["collected"] == ("email",)
    assert turns[0].extra["missing"] == ("city",)
    assert turns[0].context_extracted == {"email": "a@example.org"}
    assert turns[0].tools_executed[0].tool_id == "check"
    assert (turns[0].latency_ms, turns[0].assistant_response) == (7, "Your address?")
    assert turns[0].created_at == datetime(2025, 5, 5, 5, 5, 5, tzinfo=UTC)
    assert turns[0].recorded_at == NOW
    assert turns[1].scenario_state is not None
    assert turns[1].scenario_state.step_id == scenario.steps[1].id

    assert (session.turn_count, session.version, session.created_at) == (2, 2, NOW)
    assert session.customer_profile_id == profile.id
    assert session.variables == {"language": "en"}
    assert (session.active_scenario_id, session.current_step_id) == (scenario.id, scenario.steps[1].id)
    assert [visit.step_name for visit in session.step_history] == ["ask", "finish"]
    assert [visit.transition_reason for visit in session.step_history] == [
        TransitionReason.ENTRY,
        TransitionReason.TRANSITION,
    ]
    assert session.rule_fires[str(agent.rules[0].id)] == 1

    assert [episode.content for episode in episodes] == ["done", "The user wants to sign up"]
    assert episodes[0].occurred_at == datetime(2025, 5, 5, 5, 6, 5, tzinfo=UTC)
    assert episodes[0].embedding_model == "focal-hashing-1"
    assert dict(report.missing["sign up"]) == {"city": 1}
    assert dict(report.collected["sign up"]) == {"email": 1}


@pytest.mark.asyncio
async def test_rules_match_in_scope_only(agent: AgentDefinition) -> None:
    """A rule of a step matches at that step and nowhere else."""
    message = "I have no mail address"
    log = [
        line({"user": message}, {"user": message, "scenario": "sign up"}, {"user": message, "step": "finish"}),
    ]
    async with Focal.open(IN_MEMORY) as focal:
        await replay(focal, agent, log)
        turns = await focal.tenant(TENANT).audit.list_turns_by_session(session_of())
    assert [agent.rules[1].id in turn.rules_matched for turn in turns] == [False, True, False]


@pytest.mark.asyncio
async def test_rules_rest_after_firing(agent: AgentDefinition) -> None:
    """A rule fires max_fires_per_session times at most, and not again within its cooldown."""
    log = [line(*["tell me a joke"] * 3), line(*["sing me a song"] * 4, id="c2", user="u2")]
    async with Focal.open(IN_MEMORY) as focal:
        await replay(focal, agent, log)
        audit = focal.tenant(TENANT).audit
        jokes = await audit.list_turns_by_session(session_of())
        songs = await audit.list_turns_by_session(session_of("c2"))
    assert [agent.rules[2].id in turn.rules_matched for turn in jokes] == [True, False, False]
    assert [agent.rules[3].id in turn.rules_matched for turn in songs] == [True, False, True, False]


@pytest.mark.asyncio
async def test_a_weak_match_is_no_match(agent: AgentDefinition) -> None:
    """min_score decides; a message that shares nothing with a condition matches no rule."""
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, [line("zzz qqq")])
        assert report.rules_matched == 0
        report = await replay(focal, agent, [line("zzz qqq", id="c2")], ReplayOptions(min_score=-1.0))
        assert report.rules_matched == 3


@pytest.mark.asyncio
async def test_a_returning_customer_is_one_profile_on_all_channels(agent: AgentDefinition) -> None:
    """Conversations with one ``customer`` share profile and memory; what was said before is recalled."""
    log = [
        line({"user": "my parcel is late", "fields": {"city": "York"}}, customer="K1", number=1),
        line("about the parcel", id="c2", channel="email", user="k@example.org", number=2),
        line("is my parcel late", id="c3", channel="email", user="k@example.org", customer="K1", number=3),
    ]
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
        stores = focal.tenant(TENANT)
        profiles = await stores.profiles.list_profiles()
        turn = (await stores.audit.list_turns_by_session(session_of("c3")))[0]
        first = (await stores.memory.list_episodes(groups.customer(profiles[0].id)))[-1]
    assert report.errors == 0
    assert len(profiles) == 1
    assert profiles[0].external_id == "K1"
    assert {(one.channel, one.channel_user_id) for one in profiles[0].channel_identities} == {
        (Channel.WEBCHAT, "u1"),
        (Channel.EMAIL, "k@example.org"),
    }
    assert turn.extra["recalled"][0]["episode_id"] == str(first.id)
    assert first.content == "my parcel is late"


@pytest.mark.asyncio
async def test_two_customers_cannot_be_one_user(agent: AgentDefinition) -> None:
    """A user of a channel who is said to be another customer than before is the log's error."""
    log = [
        line("a", customer="K1"),
        line("b", id="c2", number=2, customer="K2"),
        line("c", id="c3", number=3, customer="K2", user="u2"),
        line("d", id="c4", number=4, customer="K2"),
    ]
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
    assert [problem.line for problem in report.problems] == [2, 4]
    assert "'K1', not 'K2'" in str(report.problems[0].error)


@pytest.mark.asyncio
async def test_conversations_of_one_customer_keep_the_order_of_the_log(agent: AgentDefinition) -> None:
    """However many run at a time, a later conversation's value wins and the earlier ones are its history."""
    log = [
        line({"user": "hi", "fields": {"note": number}}, "and", "more", id=f"c{number}", number=number)
        for number in range(20)
    ]
    async with Focal.open(IN_MEMORY) as focal:
        await replay(focal, agent, log, ReplayOptions(concurrency=20))
        profiles = focal.tenant(TENANT).profiles
        (profile,) = await profiles.list_profiles()
        found = await profiles.get_by_id(profile.id, include_history=True)
    assert found is not None
    assert found.fields["note"].value == 19
    assert sorted(one.value for one in found.field_history["note"]) == list(range(19))


@pytest.mark.asyncio
async def test_conversations_of_different_customers_overlap(agent: AgentDefinition) -> None:
    """With concurrency 2 a second conversation advances before the first is done; with 1 it waits."""
    log = [line("a", "b", "c", id="c1"), line("a", "b", "c", id="c2", user="u2", number=2)]

    async def order(concurrency: int) -> list[UUID]:
        async with Focal.open(IN_MEMORY) as focal:
            await replay(focal, agent, log, ReplayOptions(concurrency=concurrency))
            turns = await focal.tenant(TENANT).audit.list_turns_by_tenant()
        return [turn.session_id for turn in sorted(turns, key=lambda turn: turn.recorded_at)]

    one, two = session_of("c1"), session_of("c2")
    assert await order(1) == [one] * 3 + [two] * 3
    assert await order(2) == [one, two] * 3


@pytest.mark.asyncio
async def test_replaying_again_changes_nothing(agent: AgentDefinition) -> None:
    """A second replay reports zeros and the skipped turns, and every stored object is as before."""
    log = [
        line({"user": "a", "fields": {"city": "York"}, "scenario": "sign up"}, "b", id="c1"),
        line("a", id="c2", user="u2", number=2),
    ]
    clock = ManualClock(NOW)
    async with Focal.open(IN_MEMORY, clock=clock) as focal:
        first = await replay(focal, agent, log)
        before = await contents(focal, agent, ["c1", "c2"])
        clock.advance(seconds=60)
        again = await replay(focal, agent, log)
        assert await contents(focal, agent, ["c1", "c2"]) == before
    assert (first.sessions, first.turns, first.episodes, first.fields_collected, first.skipped) == (2, 3, 3, 1, 0)
    assert (again.sessions, again.turns, again.episodes, again.fields_collected, again.skipped) == (0, 0, 0, 0, 3)


@pytest.mark.asyncio
async def test_a_conversation_that_grew_goes_on(agent: AgentDefinition) -> None:
    """Turns added to a conversation are replayed, those before are skipped."""
    async with Focal.open(IN_MEMORY) as focal:
        await replay(focal, agent, [line("a", "b")])
        report = await replay(focal, agent, [line("a", "b", "c")])
        turns = await focal.tenant(TENANT).audit.list_turns_by_session(session_of())
    assert (report.sessions, report.turns, report.skipped) == (0, 1, 2)
    assert [turn.user_message for turn in turns] == ["a", "b", "c"]


class _Broken(Exception):
    """What the process dies of."""


@asynccontextmanager
async def breaking(store: Any, method: str, call: int, error: BaseException) -> Any:
    """Let the n-th call of a method fail before it does anything."""
    whole, calls = getattr(store, method), 0

    async def broken(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return await whole(*args, **kwargs)

    setattr(store, method, broken)
    try:
        yield
    finally:
        delattr(store, method)


INTERRUPTED = ("profiles.update_field", "audit.save_turn", "memory.add_episode", "sessions.save")


@pytest.mark.asyncio
@pytest.mark.parametrize("where", INTERRUPTED)
@pytest.mark.parametrize("timed", [True, False], ids=["times-in-log", "no-times"])
async def test_an_interrupted_replay_goes_on_where_it_stopped(agent: AgentDefinition, where: str, timed: bool) -> None:
    """Whichever store the process dies at, the next run completes the log, and no turn is there twice."""
    log = [
        line(
            {"user": "a", "fields": {"city": "York"}},
            {"user": "b", "fields": {"city": "Leeds", "email": "a@example.org"}},
            "c",
            **({"started_at": "2025-05-05T05:05:05Z"} if timed else {}),
        )
    ]
    port, method = where.split(".")
    clock = ManualClock(NOW)
    async with Focal.open(IN_MEMORY, clock=clock) as focal:
        async with breaking(getattr(focal, port), method, 2, _Broken()):
            with pytest.raises(_Broken):
                await replay(focal, agent, log)
        clock.advance(seconds=5)
        report = await replay(focal, agent, log)
        stores = focal.tenant(TENANT)
        (profile,) = await stores.profiles.list_profiles()
        turns = await stores.audit.list_turns_by_session(session_of())
        episodes = await stores.memory.list_episodes(groups.customer(profile.id))
        session = await stores.sessions.get(session_of())
    assert report.errors == 0
    assert report.turns + report.skipped == 3
    assert [turn.user_message for turn in turns] == ["a", "b", "c"]
    assert sorted(episode.content for episode in episodes) == ["a", "b", "c"]
    assert {name: one.value for name, one in profile.fields.items()} == {"city": "Leeds", "email": "a@example.org"}
    assert session is not None
    assert (session.turn_count, session.version) == (3, 3)


@pytest.mark.asyncio
async def test_an_expired_session_does_not_store_turns_twice(agent: AgentDefinition) -> None:
    """After the session's life is over, a repeated replay opens it again and keeps turns and episodes as they are."""
    clock = ManualClock(NOW)
    async with Focal.open(IN_MEMORY, clock=clock) as focal:
        await replay(focal, agent, [line("a", "b")])
        clock.advance(seconds=90 * 86_400)
        report = await replay(focal, agent, [line("a", "b", "c")])
        turns = await focal.tenant(TENANT).audit.list_turns_by_session(session_of())
    assert (report.turns, report.episodes, report.skipped, report.errors) == (1, 1, 2, 0)
    assert len(turns) == 3


@pytest.mark.asyncio
async def test_problems_are_told_by_line_and_the_run_goes_on(agent: AgentDefinition) -> None:
    """Wrong lines, unknown scenarios and steps, and refused fields are errors of their lines only."""
    wrong = Line(1, error=InvalidDataError("line 1: is not JSON", code="conversation_invalid"))
    log = [
        wrong,
        line("a", {"user": "b", "scenario": "sing up"}, id="c2", number=2),
        line({"user": "a", "step": "ask"}, id="c3", number=3),
        line({"user": "a", "scenario": "sign up", "step": "aks"}, id="c4", number=4),
        line({"user": "a", "fields": {"age": "old", "email": "no address", "city": "York"}}, id="c5", number=5),
        line("fine", id="c6", number=6),
    ]
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
        profile = await focal.tenant(TENANT).profiles.get_by_channel_identity(Channel.WEBCHAT, "u1")
        assert await focal.tenant(TENANT).sessions.get(session_of("c2")) is None
    assert [problem.line for problem in report.problems] == [1, 2, 3, 4, 5, 5]
    assert report.errors == 6
    texts = [f"{problem.error} {problem.error.hint}" for problem in report.problems]
    assert "turns[1]: 'sing up' is no scenario" in texts[1]
    assert "did you mean 'sign up'?" in texts[1]
    assert "outside a scenario" in texts[2]
    assert "did you mean 'ask'?" in texts[3]
    assert "turns[0]" in texts[4]
    assert "'age'" in texts[4]
    assert "'email'" in texts[5]
    assert profile is not None
    assert list(profile.fields) == ["city"]
    assert (report.sessions, report.turns) == (2, 2)


@pytest.mark.asyncio
async def test_strict_stops_at_the_first_problem(agent: AgentDefinition) -> None:
    """With strict the first problem is raised and nothing after it is replayed."""
    log = [line("a"), line({"user": "a", "scenario": "x"}, id="c2", number=2), line("a", id="c3", number=3)]
    async with Focal.open(IN_MEMORY) as focal:
        with pytest.raises(InvalidDataError, match="'x' is no scenario"):
            await replay(focal, agent, log, ReplayOptions(strict=True, concurrency=1))
        assert await focal.tenant(TENANT).sessions.get(session_of("c1")) is not None
        assert await focal.tenant(TENANT).sessions.get(session_of("c3")) is None


@pytest.mark.asyncio
async def test_an_outage_stops_the_run(agent: AgentDefinition) -> None:
    """What concerns every conversation is raised as it is, not counted as a fault of one line."""
    outage = StoreUnavailableError("no answer", hint="look at the server")
    log = [line("a", id=f"c{number}", user=f"u{number}", number=number) for number in range(10)]
    async with Focal.open(IN_MEMORY) as focal:
        async with breaking(focal.audit, "save_turn", 3, outage):
            with pytest.raises(StoreUnavailableError) as caught:
                await replay(focal, agent, log, ReplayOptions(concurrency=4))
        assert caught.value is outage
        report = await replay(focal, agent, log)
    assert report.turns + report.skipped == 10


@pytest.mark.asyncio
async def test_lines_are_taken_as_workers_become_free(agent: AgentDefinition) -> None:
    """At no time more lines are held than there are workers, however long the log is."""
    taken, done, held = 0, 0, []

    def lines() -> Iterable[Line]:
        nonlocal taken
        for number in range(50):
            taken += 1
            held.append(taken - done)
            yield line("a", id=f"c{number}", user=f"u{number}", number=number)

    def observe(report: Any) -> None:
        nonlocal done
        done += 1

    async with Focal.open(IN_MEMORY) as focal:
        await replay(focal, agent, lines(), ReplayOptions(concurrency=4), observe)
    assert done == 50
    assert max(held) <= 4


@pytest.mark.asyncio
async def test_operations_are_counted_per_store(agent: AgentDefinition) -> None:
    """The report tells calls and time of every store, each turn at its own cost."""
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, [line("a", "b")])
    costs = report.meter.costs
    assert (costs["audit"]["save_turn"].operations, costs["memory"]["add_episode"].operations) == (2, 2)
    assert (costs["sessions"]["get"].operations, costs["sessions"]["save"].operations) == (2, 2)
    assert costs["profiles"]["get_or_create"].operations == 2
    totals = report.meter.totals()
    assert totals["sessions"].operations == 4
    assert all(cost.seconds > 0 for cost in totals.values())


@pytest.mark.asyncio
async def test_the_assistant_may_speak_first(agent: AgentDefinition) -> None:
    """A turn without a message matches nothing and is remembered as the agent's words."""
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, [line({"user": "", "assistant": "The user wants to sign up"})])
        stores = focal.tenant(TENANT)
        (profile,) = await stores.profiles.list_profiles()
        (episode,) = await stores.memory.list_episodes(groups.customer(profile.id))
    assert report.rules_matched == 0
    assert episode.source is EpisodeSource.AGENT


@pytest.mark.asyncio
async def test_a_value_given_again_is_not_written_again(agent: AgentDefinition) -> None:
    """Only changes reach the profile; true and 1 are different values."""
    log = [line(*({"user": "a", "fields": {"note": value}} for value in (1, 1, True, True)))]
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
        profiles = focal.tenant(TENANT).profiles
        (profile,) = await profiles.list_profiles()
        history = await profiles.get_field_history(profile.id, "note")
    assert (report.fields_collected, report.fields_unchanged) == (2, 2)
    assert [(one.value, one.status) for one in history if one.status is not ItemStatus.ACTIVE] == [
        (1, ItemStatus.SUPERSEDED)
    ]
    assert profile.fields["note"].value is True
