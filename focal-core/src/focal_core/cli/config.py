"""``focal config``: the settings in effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from focal_core.cli.output import print_json, print_table
from focal_core.errors import ConfigurationError
from focal_core.opening import chosen_backends
from focal_core.plugins import registry
from focal_core.settings import FocalSettings


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Look at the settings.")
    group.command("show")(show)
    group.callback()(lambda: None)
    app.add_typer(group, name="config")


def show(
    config: Annotated[Path | None, typer.Option(help="Settings file; ./focal.toml where there is one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting in effect and where it comes from; secrets are hidden."""
    settings = FocalSettings.load(config)
    rows = settings.shown(_options(settings))
    if as_json:
        print_json({row.key: {"value": row.value, "source": row.source} for row in rows})
    else:
        print_table(("key", "value", "source"), ((row.key, row.value, row.source) for row in rows))


def _options(settings: FocalSettings) -> dict[str, type[BaseModel]]:
    """Return the options of the configured backends that can be loaded; ``focal doctor`` tells of the others."""
    options = {}
    for name in {*chosen_backends(settings), *settings.backends}:
        try:
            options[name] = registry.load(settings.backend_use(name)).Options
        except ConfigurationError:
            continue
    return options
