"""The summary of a replay as tables."""

from __future__ import annotations

import sys
from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from focal_core.app import Focal
from focal_core.demo.report import ReplayReport, spent
from focal_core.plugins.backend import STORE_PORTS

PROBLEMS_SHOWN = 20
FIELDS_SHOWN = 3
"""Fields named in one cell; ``--json`` has them all."""
WIDTH_WITHOUT_TERMINAL = 110


def output() -> Console:
    """Return a console for stdout that does not wrap at 80 columns where there is no terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def print_summary(report: ReplayReport, title: str) -> None:
    """Print what a replay did: counts, fields per scenario, cost per store, problems."""
    console = output()
    console.print(Text(title, style="bold"))
    console.print(_counts(report))
    if report.collected or report.missing:
        console.print(_scenarios(report))
    console.print(_stores(report))
    for problem in report.problems[:PROBLEMS_SHOWN]:
        console.print(Text(f"line {problem.line}: {problem.error}", style="red"))
        if problem.error.hint:
            console.print(Text(f"  hint: {problem.error.hint}"))
    if report.errors > PROBLEMS_SHOWN:
        console.print(Text(f"... and {report.errors - PROBLEMS_SHOWN} more problems", style="red"))
    if report.skipped and not report.turns:
        console.print("Nothing was new: every turn of this log is stored already.")


async def print_servers(focal: Focal) -> None:
    """Print which server keeps what: its version, where its data lie, and what a crash of it may cost."""
    checks = (await focal.health()).checks
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    settings = focal.settings
    for name in focal.backends:
        if f"{name}.connection" not in checks:
            continue
        kept = [
            port for port in STORE_PORTS if settings.backend_for(port) == name and port in focal.backends[name].ports
        ]
        if settings.session.hot_tier == name:
            kept.append("sessions in use, before the lasting ones")
        durability = checks.get(f"{name}.durability")
        table.add_row(f" {name}", Text(f"keeps {', '.join(kept)}"))
        table.add_row("", Text(checks[f"{name}.connection"].detail or ""))
        if (durability := checks.get(f"{name}.durability")) is not None:
            table.add_row("", Text(durability.detail or ""))
    console = output()
    console.print(Text("Servers", style="bold"))
    console.print(table)


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right")
    return table


def _counts(report: ReplayReport) -> RenderableType:
    table = _table("New", "", "count")
    table.show_header = False
    rows = {
        "sessions": report.sessions,
        "turns": report.turns,
        "episodes": report.episodes,
        "rules matched": report.rules_matched,
        "fields collected": report.fields_collected,
        "turns skipped (stored before)": report.skipped,
        "problems": report.errors,
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    if report.usage is not None:
        for name, count in spent(report.usage).items():
            table.add_row(f"model: {name.replace('_', ' ')}", f"{count:,}")
        table.add_row("model: cost in USD", "unknown" if report.cost is None else f"{report.cost:.4f}")
    table.add_row("seconds", f"{report.seconds:.2f}")
    table.add_row("turns per second", f"{report.turns_per_second:,.0f}")
    return table


def _scenarios(report: ReplayReport) -> RenderableType:
    table = _table("Fields", "scenario", "collected")
    table.add_column("most often", overflow="fold")
    table.add_column("required and still missing", overflow="fold")
    for name in sorted({*report.collected, *report.missing}):
        collected, missing = report.collected[name], report.missing[name]
        table.add_row(Text(name), f"{collected.total():,}", _listed(collected), _listed(missing))
    return table


def _listed(fields: Counter[str]) -> Text:
    shown = [f"{name} {count:,}" for name, count in fields.most_common(FIELDS_SHOWN)]
    if len(fields) > FIELDS_SHOWN:
        shown.append(f"{len(fields) - FIELDS_SHOWN} more fields")
    return Text(", ".join(shown))


def _stores(report: ReplayReport) -> RenderableType:
    table = _table("Stores", "store", "operations", "seconds", "ms each")
    for name, cost in report.meter.totals().items():
        each = 1000 * cost.seconds / cost.operations
        table.add_row(name, f"{cost.operations:,}", f"{cost.seconds:.2f}", f"{each:.3f}")
    return table
