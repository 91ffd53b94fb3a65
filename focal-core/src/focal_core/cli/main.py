"""The command ``focal``: its commands are imported when they are used, and plugins asked only for names not ours."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from focal_core.cli.output import print_error
from focal_core.errors import FocalError

COMMANDS: Mapping[str, str] = {
    "init": "focal_core.cli.init",
    "doctor": "focal_core.cli.doctor",
    "plugins": "focal_core.cli.plugins",
    "config": "focal_core.cli.config",
    "replay": "focal_core.cli.replay",
    "demo": "focal_core.cli.demo",
    "ask": "focal_core.cli.ask",
    "embed": "focal_core.cli.embed",
}
"""Command -> the module whose ``register(app)`` adds it."""


class _LazyCommands(Mapping[str, Any]):
    """Every command by name; ours are built one by one, those of plugins together, when first asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            return _plugin_commands()[name]
        app = typer.Typer()
        importlib.import_module(COMMANDS[name]).register(app)
        return get_group(app).commands[name]

    def __iter__(self) -> Iterator[str]:
        yield from COMMANDS
        yield from sorted(_plugin_commands().keys() - COMMANDS.keys())

    def __len__(self) -> int:
        return len(list(iter(self)))


@functools.cache
def _plugin_commands() -> Mapping[str, Any]:
    from focal_core.plugins.hooks import load_hooks

    app = typer.Typer()
    load_hooks().add_commands(app)
    return get_group(app).commands


class _Group(TyperGroup):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands: Any = _LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        from focal_core.plugins.discovery import installed_version

        typer.echo(f"focal-core {installed_version('focal-core')}")
        raise typer.Exit


@app.callback()
def focal(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Stores and model providers for conversational AI, behind one set of contracts."""


def main() -> None:
    """Run the command line; focal's own errors become a message with its remedy, exit code 1."""
    try:
        get_command(app)()
    except FocalError as error:
        print_error(error)
        sys.exit(1)
