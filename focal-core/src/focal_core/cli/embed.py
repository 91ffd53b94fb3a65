"""``focal embed``: the lines of a file as episodes of the memory store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid5

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from focal_core.app import Focal
from focal_core.cli.replay import DEFAULT_TENANT
from focal_core.errors import InvalidDataError
from focal_core.memory.models import Episode, EpisodeSource
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.tenancy import TenantView
from focal_core.usage import TokenUsage


class _Outcome:
    """What was embedded: episodes stored, and lines that were stored before; what it cost."""

    def __init__(self) -> None:
        self.stored = 0
        self.skipped = 0
        self.usage = TokenUsage(requests=0, reported=False)
        self.cost: Decimal | None = Decimal(0)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("embed")(embed)


def embed(
    file: Annotated[Path, typer.Argument(help="Text, one passage a line, UTF-8; empty lines are left out.")],
    config: Annotated[Path | None, typer.Option(help="Settings file; ./focal.toml where there is one.")] = None,
    tenant: Annotated[UUID, typer.Option(help="Tenant whose memory is filled.")] = DEFAULT_TENANT,
    group: Annotated[str | None, typer.Option(help="Group of the episodes; the file's name when left out.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=10_000, help="Lines embedded and stored at a time.")] = 256,
) -> None:
    """Embed the lines of a file with the configured model, and store each as an episode.

    May be repeated and interrupted: lines that are stored are skipped, and not paid for again.
    """
    lines = _read(file)
    messages = Console(stderr=True)
    with _progress(messages) as bar:
        task = bar.add_task(file.name, total=len(lines))
        outcome = asyncio.run(
            _embed(config, tenant, group or file.name, lines, batch_size, lambda done: bar.update(task, completed=done))
        )
    tokens = f"{outcome.usage.prompt_tokens:,} tokens" if outcome.usage.reported else "tokens not reported"
    cost = "cost unknown" if outcome.cost is None else f"{outcome.cost:.6f} USD"
    typer.echo(f"{outcome.stored:,} episodes stored, {outcome.skipped:,} were there already; {tokens}, {cost}")


def _read(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidDataError(f"{file} cannot be read: {error.strerror}", hint="name a text file") from None
    except UnicodeDecodeError:
        raise InvalidDataError(f"{file} is not UTF-8 text", hint="convert it first") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


async def _embed(
    config: Path | None,
    tenant_id: UUID,
    group: str,
    lines: Sequence[str],
    batch_size: int,
    observe: Callable[[int], None],
) -> _Outcome:
    outcome, seen = _Outcome(), Counter[str]()
    async with Focal.open(config) as focal:
        tenant, provider = focal.tenant(tenant_id), focal.embedding
        for start in range(0, len(lines), batch_size):
            passages = {}
            for line in lines[start : start + batch_size]:
                # The same line twice is two episodes, and both are found again the next time.
                passages[uuid5(tenant_id, f"{group}\n{line}\n{seen[line]}")] = line
                seen[line] += 1
            await _store(tenant, provider, group, passages, outcome)
            observe(min(start + batch_size, len(lines)))
    return outcome


async def _store(
    tenant: TenantView, provider: EmbeddingProvider, group: str, passages: Mapping[UUID, str], outcome: _Outcome
) -> None:
    known = await asyncio.gather(*(tenant.memory.get_episode(episode_id) for episode_id in passages))
    new = [episode_id for episode_id, episode in zip(passages, known, strict=True) if episode is None]
    outcome.skipped += len(passages) - len(new)
    if not new:
        return
    response = await provider.embed([passages[episode_id] for episode_id in new])
    await tenant.memory.add_episodes(
        [
            Episode(
                id=episode_id,
                tenant_id=tenant.tenant_id,
                group_id=group,
                content=passages[episode_id],
                source=EpisodeSource.EXTERNAL,
                embedding=tuple(vector),
                embedding_model=response.spec.model,
            )
            for episode_id, vector in zip(new, response.embeddings, strict=True)
        ]
    )
    outcome.stored += len(new)
    outcome.usage += response.usage
    outcome.cost = None if outcome.cost is None or response.cost is None else outcome.cost + response.cost


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
