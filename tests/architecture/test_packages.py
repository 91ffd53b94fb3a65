"""What every distribution must have."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("focal-*/pyproject.toml"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_package_is_complete(package: Path) -> None:
    """Each has a README that says something, the licence of the root, a change log and the typing marker."""
    module = package.name.replace("-", "_")
    assert len((package / "README.md").read_text(encoding="utf-8")) > 400
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "0.1.0" in (package / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (package / "src" / module / "py.typed").exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_siblings_are_pinned_by_range(package: Path) -> None:
    """A sibling is required by a range, so that packages are released one at a time."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    siblings = [line for line in project["dependencies"] if line.startswith("focal-")]
    assert all("==" not in line and ">=" in line and "<" in line for line in siblings)


def test_five_packages() -> None:
    """The house has five rooms."""
    assert [path.name for path in PACKAGES] == [
        "focal-core",
        "focal-postgres",
        "focal-providers",
        "focal-redis",
        "focal-testkit",
    ]


def test_pins_name_no_index() -> None:
    """constraints.txt holds names, versions and hashes; never an address."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "--hash=sha256:" in pins
    assert "://" not in pins
