"""What may import what, and what an import may cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = [
    "asyncpg",
    "redis",
    "sqlalchemy",
    "alembic",
    "anthropic",
    "openai",
    "pytest",
    "hypothesis",
    "typer",
    "rich",
    "numpy",
]


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules a statement loads in a fresh interpreter."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import focal_core",
        "from focal_core import Focal",
        "import focal_core.inmemory.backend",
        "from focal_core.plugins.registry import *",
    ],
)
def test_core_loads_no_driver_sdk_or_test_tool(statement: str) -> None:
    """Core stays light: whoever needs a driver or the command line loads it where it is used."""
    assert loaded_by(statement) & set(FORBIDDEN) == set()


@pytest.mark.parametrize("package", ["focal_postgres", "focal_redis", "focal_providers"])
def test_backends_load_no_driver_on_import(package: str) -> None:
    """Importing a backend's package loads neither its driver nor another backend."""
    others = {"focal_postgres", "focal_redis", "focal_providers"} - {package}
    assert loaded_by(f"import {package}") & {*FORBIDDEN, *others} == set()


def test_no_top_level_module_named_focal() -> None:
    """An unrelated distribution owns the name `focal`; a module of ours by that name would break installs."""
    found = [path for package in ROOT.glob("focal-*/src") for path in package.glob("focal*") if path.name == "focal"]
    assert found == []


def test_files_stay_readable_in_one_sitting() -> None:
    """No source file exceeds 400 lines, but for generated views and the one tree of errors."""
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in ROOT.glob("focal-*/src/**/*.py")
        if path.name not in ("bound.py", "errors.py")
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []
