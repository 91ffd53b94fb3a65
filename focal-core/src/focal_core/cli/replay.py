"""``focal replay``: conversation logs through every store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from focal_core.app import Focal
from focal_core.cli.replay_summary import print_summary
from focal_core.demo.agent_file import read_agent_file
from focal_core.demo.conversations import ConversationFile
from focal_core.demo.replay import ReplayOptions, replay
from focal_core.demo.report import ReplayReport

IN_MEMORY: Mapping[str, Any] = {"stores": {"default": "inmemory"}, "providers": {"embedding": "hashing"}}
"""What a replay runs on when no configuration is named."""
DEFAULT_TENANT = uuid5(NAMESPACE_URL, "urn:focal:replay")
"""Whose stores a replay fills when no tenant is named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay_command)


def replay_command(
    conversations: Annotated[Path, typer.Argument(help="Conversations as JSON lines, gzipped or not.")],
    agent: Annotated[Path, typer.Option(help="Agent file (TOML).")],
    config: Annotated[Path | None, typer.Option(help="focal.toml; without it everything is kept in memory.")] = None,
    tenant: Annotated[UUID, typer.Option(help="Tenant whose stores are filled.")] = DEFAULT_TENANT,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Conversations at a time.")] = 16,
    min_score: Annotated[
        float, typer.Option(min=-1.0, max=1.0, help="Cosine from which rules match and episodes are recalled.")
    ] = ReplayOptions.min_score,
    llm: Annotated[bool, typer.Option("--llm", help="Let the configured model answer, and not the log.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first problem.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run logged conversations through profiles, sessions, memory, rules and audit, and say what was stored.

    May be repeated and interrupted: turns that are stored are skipped. Exit code 1 when there were problems.
    """
    options = ReplayOptions(concurrency=concurrency, strict=strict, min_score=min_score, llm=llm)
    definition = read_agent_file(agent, tenant)
    log = ConversationFile(conversations)
    messages = Console(stderr=True)

    async def run(observe: Callable[[ReplayReport], None] | None) -> ReplayReport:
        async with Focal.open(IN_MEMORY if config is None else config) as focal:
            return await replay(focal, definition, log, options, observe)

    if messages.is_terminal:
        with _progress(messages) as bar:
            task = bar.add_task("replay", total=log.size, turns=0)

            def observe(report: ReplayReport) -> None:
                bar.update(task, completed=log.position, turns=report.turns + report.skipped)

            report = asyncio.run(run(observe))
    else:
        report = asyncio.run(run(None))
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        where = "in memory, gone now; name a --config to keep it" if config is None else f"as {config} says"
        print_summary(report, title=f"{conversations.name}, tenant {tenant}, stored {where}")
    if report.errors:
        if as_json:
            for problem in report.problems[:10]:
                typer.echo(f"line {problem.line}: {problem.error}", err=True)
        raise typer.Exit(1)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[turns]} turns"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
