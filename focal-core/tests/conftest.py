"""Fixtures: distributions that exist only for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from focal_core.plugins import discovery
from focal_core.plugins.hooks import load_hooks

Install = Callable[..., None]


def _forget() -> None:
    importlib.invalidate_caches()
    discovery.refresh()
    load_hooks.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a distribution: its ``.dist-info`` folder, its entry points and its modules."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def _install(
        name: str,
        version: str = "1.0",
        *,
        backends: Mapping[str, str] | None = None,
        hooks: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
    ) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = {discovery.BACKENDS: backends or {}, discovery.HOOKS: hooks or {}}
        lines = [
            line
            for group, entries in groups.items()
            for line in (f"[{group}]", *(f"{entry} = {target}" for entry, target in entries.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, source in (modules or {}).items():
            (site / f"{module}.py").write_text(textwrap.dedent(source))
        _forget()

    yield _install
    for module in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
    monkeypatch.undo()
    _forget()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings of focal."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for variable in ("DATABASE_URL", "REDIS_URL", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    return folder
