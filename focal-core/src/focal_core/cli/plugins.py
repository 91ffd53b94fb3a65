"""``focal plugins``: what is installed, and whether it can be used."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from focal_core.cli.output import print_json, print_table
from focal_core.errors import FocalError
from focal_core.plugins import registry
from focal_core.plugins.discovery import HOOKS, Registration, registrations


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Look at the installed plugins.")
    group.command("list")(list_plugins)
    group.callback()(lambda: None)
    app.add_typer(group, name="plugins")


def list_plugins(
    verify: Annotated[bool, typer.Option("--verify", help="Import and check each plugin.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List backends and hook plugins. Nothing is imported without --verify; a broken one is a row, not an error."""
    rows = [*_backends(verify), *_hooks(verify)]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "kind", "distribution", "version", "ports", "status")
    shown = ({**row, "ports": ", ".join(row["ports"] or ())} for row in rows)
    print_table(columns, ([row[column] for column in columns] for row in shown))
    for row in rows:
        if row["error"]:
            typer.echo(f"{row['name']}@{row['distribution']}: {row['error']}")
            typer.echo(f"  hint: {row['hint']}")


def _backends(verify: bool) -> list[dict[str, Any]]:
    return [
        {
            **_row("backend", one.registration, one.status, one.error),
            "ports": list(one.backend.ports) if one.backend else None,
            "capabilities": sorted(one.backend.capabilities) if one.backend else None,
            "contract": one.backend.contract if one.backend else None,
        }
        for one in registry.statuses(verify=verify)
    ]


def _hooks(verify: bool) -> list[dict[str, Any]]:
    found = registrations(HOOKS)
    if not verify or not found:
        return [_row("hooks", one, "registered", None) for one in found]
    from focal_core.plugins.hooks import load_hooks

    failures = {failure.registration: failure.error for failure in load_hooks().failures}
    return [_row("hooks", one, "broken" if one in failures else "ok", failures.get(one)) for one in found]


def _row(kind: str, registration: Registration, status: str, error: FocalError | None) -> dict[str, Any]:
    return {
        "name": registration.name,
        "kind": kind,
        "distribution": registration.distribution,
        "version": registration.version,
        "target": registration.target,
        "ports": None,
        "capabilities": None,
        "contract": None,
        "status": status,
        "error": str(error) if error else None,
        "hint": error.hint if error else None,
    }
