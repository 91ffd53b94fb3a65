"""``focal ask``: one question to the configured language model, answered as it comes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from focal_core.app import Focal
from focal_core.errors import InvalidDataError
from focal_core.providers.models import LLMMessage, LLMRequest, LLMResponse, TextDelta


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ask")(ask)


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    config: Annotated[Path | None, typer.Option(help="Settings file; ./focal.toml where there is one.")] = None,
    system: Annotated[str | None, typer.Option(help="Instructions to the model.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the configured one.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of the answer at most.")] = None,
) -> None:
    """Ask the configured language model, print its answer as it comes, and say at the end what it cost.

    The answer goes to standard output, everything else to standard error. Exit code 1 when it was cut or refused.
    """
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise InvalidDataError("the question is empty", hint='focal ask "..."')
    request = LLMRequest(
        messages=(LLMMessage.model_validate({"role": "user", "content": text}),),
        system=system,
        model=model,
        max_tokens=max_tokens,
    )
    response = asyncio.run(_ask(config, request))
    typer.echo(_spent(response), err=True)
    if response.finish_reason != "stop":
        detail = f" ({response.finish_detail})" if response.finish_detail else ""
        typer.echo(f"the answer ended early: {response.finish_reason}{detail}", err=True)
        raise typer.Exit(1)


async def _ask(config: Path | None, request: LLMRequest) -> LLMResponse:
    async with Focal.open(config) as focal:
        try:
            async with focal.llm.stream(request) as stream:
                async for event in stream:
                    if isinstance(event, TextDelta):
                        typer.echo(event.text, nl=False)
                return await stream.response()
        finally:
            typer.echo()


def _spent(response: LLMResponse) -> str:
    usage, tries = response.usage, len(response.attempts)
    tokens = "tokens not reported"
    if usage.reported:
        tokens = f"{usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out"
    cost = "cost unknown" if response.cost is None else f"{response.cost:.6f} USD"
    attempts = f", {tries} attempts" if tries > 1 else ""
    return f"{response.provider} {response.model}: {tokens}, {cost}, {response.latency_ms / 1000:.1f} s{attempts}"
