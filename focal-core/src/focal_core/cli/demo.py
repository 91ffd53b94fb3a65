"""``focal demo``: the replay on a small bundled agent, and one conversation in full."""

from __future__ import annotations

import asyncio
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from focal_core.app import Focal
from focal_core.audit.models import TurnRecord
from focal_core.cli.replay import DEFAULT_TENANT, IN_MEMORY
from focal_core.cli.replay_summary import output, print_servers, print_summary
from focal_core.demo.agent_file import AgentDefinition, read_agent_file, stable_id, suggest
from focal_core.demo.conversations import ConversationFile
from focal_core.demo.replay import replay
from focal_core.errors import NotFoundError
from focal_core.profile.models import CustomerProfile
from focal_core.tenancy import TenantView

SHOWN = "mail-3001"
"""The conversation shown in full: a customer who is known from another channel, and whose earlier words are found."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo_command)


def demo_command(
    conversation: Annotated[str, typer.Option(help="Conversation to show in full.")] = SHOWN,
    embedded: Annotated[
        Path | None, typer.Option(help="Folder for PostgreSQL and Redis servers of its own; without it, in memory.")
    ] = None,
) -> None:
    """Replay a small bundled conversation log through every store, and show one conversation in full."""
    asyncio.run(_demo(conversation, embedded))


def embedded_settings(folder: Path) -> dict[str, Any]:
    """Return settings that keep sessions on Redis before PostgreSQL, and everything else on PostgreSQL.

    Args:
        folder: where both servers keep their data; they run while somebody uses them.
    """
    return {
        "stores": {"default": "main"},
        "session": {"hot_tier": "hot"},
        "providers": {"embedding": "hashing"},
        "backends": {
            "main": {"use": "postgres", "url": f"embedded://{folder / 'postgres'}"},
            "hot": {"use": "redis", "url": f"embedded://{folder / 'redis'}"},
        },
    }


async def _demo(conversation: str, embedded: Path | None) -> None:
    with as_file(files("focal_core.demo") / "data") as folder:
        agent = read_agent_file(folder / "agent.toml", DEFAULT_TENANT)
        log = ConversationFile(folder / "conversations.jsonl")
        ids = [line.conversation.conversation_id for line in log if line.conversation is not None]
        if conversation not in ids:
            raise NotFoundError(f"the demo has no conversation {conversation!r}", hint=suggest(conversation, ids))
        where = "in memory" if embedded is None else f"in {embedded}"
        async with Focal.open(IN_MEMORY if embedded is None else embedded_settings(embedded)) as focal:
            report = await replay(focal, agent, log)
            print_summary(report, title=f"Agent {agent.agent.name!r}, {len(ids)} conversations, stored {where}")
            if embedded is not None:
                await print_servers(focal)
            await _show(output(), focal.tenant(DEFAULT_TENANT), agent, conversation)


async def _show(console: Console, stores: TenantView, agent: AgentDefinition, conversation: str) -> None:
    session_id = stable_id(agent.agent.tenant_id, agent.agent.name, "session", conversation)
    session = await stores.sessions.get(session_id)
    if session is None or session.customer_profile_id is None:
        raise NotFoundError(f"conversation {conversation!r} was not stored")
    profile = await stores.profiles.get_by_id(session.customer_profile_id, include_history=True)
    if profile is None:
        raise NotFoundError(f"the customer of conversation {conversation!r} was not stored")
    console.print()
    console.rule(Text(f"Conversation {conversation} ({session.channel}, {session.user_channel_id})", style="bold"))
    channels = ", ".join(f"{one.channel} {one.channel_user_id}" for one in profile.channel_identities)
    console.print(Text(f"Customer {profile.external_id or 'without a name of its own'}, known on: {channels}"))
    for record in await stores.audit.list_turns_by_session(session_id):
        await _show_turn(console, stores, agent, record)
    console.print()
    console.print(await _profile(stores, profile, {one.name for one in agent.fields if one.is_pii}))
    visits = " > ".join(f"{visit.step_name} (turn {visit.turn_number})" for visit in session.step_history)
    console.print(Text(f"Session {session_id}: {session.turn_count} turns, version {session.version}, steps {visits}"))


async def _show_turn(console: Console, stores: TenantView, agent: AgentDefinition, record: TurnRecord) -> None:
    console.print()
    console.print(Text(f"Turn {record.turn_number}, {record.created_at:%Y-%m-%d %H:%M:%S} UTC", style="bold"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(justify="right", style="dim", min_width=9)
    facts.add_column(overflow="fold")
    if record.user_message:
        facts.add_row("user", Text(record.user_message, style="cyan"))
    if record.assistant_response:
        facts.add_row("assistant", Text(record.assistant_response, style="green"))
    rules = {rule.id: rule for rule in agent.rules}
    for rule_id in record.rules_matched:
        rule, score = rules[rule_id], record.extra["rule_scores"][str(rule_id)]
        facts.add_row("rule", Text(f"{score:.2f}  {rule.name}: {rule.action_text}"))
    for hit in record.extra["recalled"]:
        episode = await stores.memory.get_episode(UUID(hit["episode_id"]))
        if episode is not None:
            facts.add_row("recalled", Text(f"{hit['score']:.2f}  {episode.content}"))
    for name, value in (record.context_extracted or {}).items():
        stored = "" if name in record.extra["collected"] else " (known already)"
        facts.add_row("field", Text(f"{name} = {value!r}{stored}"))
    for call in record.tools_executed:
        facts.add_row("tool", Text(f"{call.tool_id} -> {dict(call.output) if call.output else call.output}"))
    if record.scenario_state is not None:
        facts.add_row("at", Text(_place(agent, record)))
    facts.add_row("audit", Text(f"{record.id}, recorded {record.recorded_at:%Y-%m-%d %H:%M:%S} UTC"))
    console.print(facts)


def _place(agent: AgentDefinition, record: TurnRecord) -> str:
    state = record.scenario_state
    scenario = next(one for one in agent.scenarios if state is not None and one.id == state.scenario_id)
    step = next((one.name for one in scenario.steps if state is not None and one.id == state.step_id), "no step")
    missing = ", ".join(record.extra["missing"]) or "nothing"
    return f"{scenario.name} / {step}; still to ask: {missing}"


async def _profile(stores: TenantView, profile: CustomerProfile, private: set[str]) -> Table:
    title = "The customer's profile afterwards"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("field", "value", "source", "confidence", "collected in", "status"):
        table.add_column(heading, overflow="fold")
    versions = [*profile.fields.values(), *(old for history in profile.field_history.values() for old in history)]
    for one in sorted(versions, key=lambda version: (version.name, version.collected_at)):
        origin = None if one.source_session_id is None else await stores.sessions.get(one.source_session_id)
        conversation = "?" if origin is None else origin.metadata["conversation_id"]
        table.add_row(
            Text(one.name + (" (personal)" if one.name in private else "")),
            Text(str(one.value)),
            one.source.value,
            f"{one.confidence:.2f}",
            Text(f"{conversation}, turn {one.source_metadata['turn_number']}"),
            one.status.value,
        )
    return table
