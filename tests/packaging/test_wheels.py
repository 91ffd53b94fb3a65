"""What is built and installed is what works: the wheel, not the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["focal-core", "focal-testkit", "focal-postgres", "focal-redis", "focal-providers"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and sdist of every package, as a release would: the wheel from the sdist."""
    output = tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(ROOT / package)],
            check=True,
            capture_output=True,
        )
    return output


def names_in(path: Path) -> list[str]:
    """Return the files within a wheel or sdist."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.namelist()
    with tarfile.open(path) as sdist:
        return sdist.getnames()


def test_every_package_builds_wheel_and_sdist(built: Path) -> None:
    """Five wheels and five sdists come out."""
    assert len(list(built.glob("*.whl"))) == len(list(built.glob("*.tar.gz"))) == len(PACKAGES)


def test_wheels_hold_what_they_must_and_nothing_else(built: Path) -> None:
    """A wheel has its own package with py.typed and licence, and no top-level `focal`."""
    for wheel in built.glob("*.whl"):
        names = names_in(wheel)
        module = wheel.name.split("-")[0]
        assert f"{module}/py.typed" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert {name.split("/")[0] for name in names} == {module, f"{module}-0.1.0.dist-info"}


def test_bundled_demo_is_in_wheel_and_sdist(built: Path) -> None:
    """The demo's agent and conversations travel with the package."""
    for path in (*built.glob("focal_core-*.whl"), *built.glob("focal_core-*.tar.gz")):
        found = [name for name in names_in(path) if "/demo/data/" in name]
        assert [Path(name).suffix for name in sorted(found) if Path(name).suffix] == [".toml", ".jsonl"]


def test_wheels_work_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """Installed into an empty environment, the entry points are found and load, and a replay runs."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    wheels = [str(path) for path in built.glob("*.whl")]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wheels], check=True, capture_output=True)

    listed = subprocess.run(
        [str(environment / "bin" / "focal"), "plugins", "list", "--verify", "--json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    demo = subprocess.run(
        [str(environment / "bin" / "focal"), "demo"], check=True, capture_output=True, text=True, cwd=tmp_path
    )

    plugins = json.loads(listed.stdout)
    assert {"inmemory", "hashing", "scripted"} <= {row["name"] for row in plugins}
    assert "sessions" in demo.stdout
