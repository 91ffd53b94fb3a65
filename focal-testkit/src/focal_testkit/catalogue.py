"""The contract in prose: every requirement, generated from the tests that check it.

``python -m focal_testkit.catalogue > docs/contract.md``
"""

from __future__ import annotations

import importlib
import pkgutil

from focal_testkit import CONTRACT_VERSION, contracts
from focal_testkit.requirement import CATALOGUE, Requirement


def requirements() -> list[Requirement]:
    """Return every requirement of the kit by id."""
    for module in pkgutil.walk_packages(contracts.__path__, f"{contracts.__name__}."):
        importlib.import_module(module.name)
    return [CATALOGUE[id] for id in sorted(CATALOGUE)]


def render() -> str:
    """Return the catalogue as Markdown, a section for each group of ids."""
    lines = [
        "# The contract",
        "",
        f"Version {CONTRACT_VERSION}. Generated from focal-testkit by `python -m focal_testkit.catalogue`;",
        "each sentence is checked by the test beside it, on every backend.",
    ]
    group = ""
    for one in requirements():
        if (prefix := one.id.split("-")[0]) != group:
            group = prefix
            lines += ["", f"## {group}", "", "| id | since | sentence | test |", "|---|---|---|---|"]
        applies = f" *(capability {one.needs})*" if one.needs else f" *(unless {one.unless})*" if one.unless else ""
        sentence = one.sentence.replace("|", "\\|")
        lines.append(f"| {one.id} | {one.since} | {sentence}{applies} | `{one.test.split('.')[-1]}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
