"""``focal doctor``: what is configured, what opens, what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from focal_core.app import Focal
from focal_core.cli.output import print_json, print_table
from focal_core.errors import FocalError
from focal_core.opening import chosen_backends
from focal_core.plugins import registry
from focal_core.plugins.backend import PORTS
from focal_core.plugins.hooks import load_hooks
from focal_core.settings import FocalSettings, how_to_set


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        status: ``ok``, ``missing`` or ``unused`` (no fault), or ``failed``.
        detail: what was found.
        hint: what to do, or None.
    """

    subject: str
    status: str
    detail: str
    hint: str | None = None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    config: Annotated[Path | None, typer.Option(help="Settings file; ./focal.toml where there is one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read the settings, open everything that is configured, and say what works; exit code 1 when anything fails."""
    findings = list(_examine(config))
    healthy = all(one.status != "failed" for one in findings)
    if as_json:
        print_json({"ok": healthy, "checks": [asdict(one) for one in findings]})
    else:
        print_table(("", "subject", "detail"), ((one.status, one.subject, one.detail) for one in findings))
        for one in findings:
            if one.hint:
                typer.echo(f"{one.subject}: {one.hint}")
        typer.echo("everything configured works" if healthy else "something needs attention")
    if not healthy:
        raise typer.Exit(1)


def _examine(config: Path | None) -> Iterator[Finding]:
    try:
        settings = FocalSettings.load(config)
    except FocalError as error:
        yield _failed("settings", error)
        return
    yield Finding("settings", "ok", "read")
    for failure in load_hooks().failures:
        yield _failed(f"plugin {failure.registration.qualified}", failure.error)
    for port in PORTS:
        yield _port(settings, port)
    for name in settings.backends_for("llm")[1:]:
        yield _served(settings, f"port llm, then {name}", name, "llm")
    if settings.session.hot_tier:
        yield _served(settings, "session.hot_tier", settings.session.hot_tier, "sessions")
    for name in sorted(settings.backends.keys() - chosen_backends(settings)):
        yield Finding(
            f"backends.{name}", "unused", "no port names it", f"name it under [stores] or [providers]: {name!r}"
        )
    if not any(settings.backend_for(port) for port in PORTS):
        yield Finding("backends", "failed", "no port has a backend", "focal init writes a starter focal.toml")
        return
    yield from asyncio.run(_open(settings))


def _port(settings: FocalSettings, port: str) -> Finding:
    name = settings.backend_for(port)
    if name is None:
        return Finding(f"port {port}", "missing", "no backend is named for it", how_to_set(port))
    return _served(settings, f"port {port}", name, port)


def _served(settings: FocalSettings, subject: str, name: str, port: str) -> Finding:
    try:
        registration = registry.find(settings.backend_use(name), also=settings.backends)
        served = registry.load_registered(registration).ports
    except FocalError as error:
        return _failed(subject, error)
    if port not in served:
        detail = f"{name} ({registration.name}, {registration.origin}) does not serve it"
        return Finding(subject, "missing", detail, how_to_set(port))
    return Finding(subject, "ok", f"{name} ({registration.name}, {registration.origin})")


async def _open(settings: FocalSettings) -> list[Finding]:
    try:
        async with Focal.open(settings) as focal:
            report = await focal.health()
    except FocalError as error:
        parts = error.details.get("failures")
        if not parts:
            return [_failed("opening", error)]
        return [Finding(f"opening {name}", "failed", part["error"], part["hint"]) for name, part in parts.items()]
    findings = [Finding("opening", "ok", "every configured backend opens")]
    for name, check in report.checks.items():
        detail = check.detail or ("ok" if check.ok else "not ok")
        findings.append(Finding(f"health {name}", "ok" if check.ok else "failed", detail))
    return findings


def _failed(subject: str, error: FocalError) -> Finding:
    return Finding(subject, "failed", str(error), error.hint)
