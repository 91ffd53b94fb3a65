"""Backends by name: listing, loading, and one clear answer to everything that can be wrong."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any

import pytest

from focal_core.errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from focal_core.imports import resolve
from focal_core.inmemory.backend import InMemoryBackend
from focal_core.plugins import discovery, registry
from focal_core.plugins.backend import CAPABILITIES, CONTRACT, PORTS

GOOD = """
    from focal_core.inmemory.backend import InMemoryBackend

    class GoodBackend(InMemoryBackend):
        pass
"""


def test_the_in_memory_backend_comes_through_its_entry_point() -> None:
    """The built-in backend uses the public door."""
    assert registry.find("inmemory").target == "focal_core.inmemory.backend:InMemoryBackend"
    assert registry.load("inmemory") is InMemoryBackend


def test_every_registered_first_party_backend_loads() -> None:
    """A renamed module of ours would show only when it is loaded."""
    ours = [one for one in registry.installed() if one.distribution.startswith("focal-")]

    assert ours
    for one in ours:
        assert registry.load_registered(one).ports


def test_listing_imports_no_backend(install: Any) -> None:
    """A list names what is registered without importing it, a broken one included."""
    install("acme-mongo", backends={"mongo": "acme_mongo:MongoBackend"}, modules={"acme_mongo": "1 / 0"})

    rows = {row.registration.name: row for row in registry.statuses()}

    assert rows["mongo"].status == "registered"
    assert "acme_mongo" not in sys.modules


def test_an_unknown_name_lists_what_is_installed() -> None:
    """Without a near name the error still says what there is."""
    with pytest.raises(PluginNotFoundError) as caught:
        registry.load("zzzzzz")

    assert "installed: " in str(caught.value)
    assert "inmemory" in str(caught.value)
    assert caught.value.hint is not None


def test_a_misspelt_name_is_corrected() -> None:
    """The nearest installed name is offered."""
    with pytest.raises(PluginNotFoundError, match="no backend named 'inmemroy'") as caught:
        registry.load("inmemroy")

    assert caught.value.hint == "did you mean 'inmemory'?"


def test_a_misspelt_name_may_be_one_of_the_callers_own() -> None:
    """Names that would also have been right are offered too."""
    with pytest.raises(PluginNotFoundError) as caught:
        registry.load("mian", also=["main"])

    assert caught.value.hint == "did you mean 'main'?"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KNOWN_DISTRIBUTIONS", {"cassandra": "focal-cassandra"})


@pytest.mark.usefixtures("known")
def test_a_known_name_that_is_not_installed_says_what_to_install() -> None:
    """The remedy is a command."""
    with pytest.raises(PluginNotFoundError) as caught:
        registry.load("cassandra")

    assert caught.value.hint == "pip install focal-cassandra"


@pytest.mark.usefixtures("known")
def test_a_misspelt_known_name_says_both() -> None:
    """Correction and command."""
    with pytest.raises(PluginNotFoundError) as caught:
        registry.load("casandra")

    assert caught.value.hint == "did you mean 'cassandra'? pip install focal-cassandra"


@pytest.mark.usefixtures("known")
def test_an_installed_distribution_that_registers_nothing_is_named_with_its_version(install: Any) -> None:
    """Installing again would not help, upgrading might."""
    install("focal-cassandra", "0.0.1")

    with pytest.raises(PluginNotFoundError) as caught:
        registry.load("cassandra")

    assert caught.value.hint == (
        "focal-cassandra 0.0.1 is installed but does not register it: pip install --upgrade focal-cassandra"
    )


def test_two_distributions_of_one_name_are_a_conflict_until_one_is_named(install: Any) -> None:
    """Neither the first nor the last wins."""
    install("acme-redis", "1.2", backends={"kv": "acme_redis:GoodBackend"}, modules={"acme_redis": GOOD})
    install("Zeta.Redis", "0.3", backends={"kv": "zeta_redis:GoodBackend"}, modules={"zeta_redis": GOOD})

    with pytest.raises(PluginConflictError) as caught:
        registry.load("kv")

    assert str(caught.value) == "backend 'kv' is claimed by acme-redis 1.2 and zeta-redis 0.3"
    assert caught.value.hint == 'write use = "kv@acme-redis" or use = "kv@zeta-redis"'
    assert registry.load("kv@zeta-redis").__module__ == "zeta_redis"
    assert registry.load("kv@zeta_redis").__module__ == "zeta_redis"
    assert [row.status for row in registry.statuses(verify=True) if row.registration.name == "kv"] == ["conflict"] * 2


def test_a_name_at_the_wrong_distribution_lists_the_right_ones(install: Any) -> None:
    """The qualified names are given, ready to be copied."""
    install("acme-redis", backends={"kv": "acme_redis:GoodBackend"}, modules={"acme_redis": GOOD})

    with pytest.raises(PluginNotFoundError, match="other registers no backend named 'kv'") as caught:
        registry.load("kv@other")

    assert caught.value.hint == 'write "kv@acme-redis"'


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "import motor_that_is_not_there",
            "failed to import: No module named 'motor_that_is_not_there'",
            "acme-mongo needs 'motor_that_is_not_there', which is not installed here",
        ),
        (
            "raise RuntimeError('no licence')",
            "failed to import: no licence",
            "report it to the authors of acme-mongo, or uninstall it",
        ),
        ("raise SystemExit", "failed to import: SystemExit", "report it to the authors of acme-mongo, or uninstall it"),
        ("x = 1", "failed to import", "acme_mongo has no MongoBackend; reinstall or upgrade acme-mongo"),
        ("None.nothing", "failed to import", "report it to the authors of acme-mongo, or uninstall it"),
        ("MongoBackend = 3", "is not a class but int", "the entry point must name a subclass of Backend"),
        ("class MongoBackend: pass", "is not a subclass", "derive the class from focal_core.Backend"),
        (
            "from focal_core.plugins.backend import Backend\nclass MongoBackend(Backend): contract = '1.0'",
            "leaves abstract: close, health, open, port",
            "implement every abstract method",
        ),
        (GOOD.replace("Good", "Mongo").replace("pass", "contract = '2.0'"), "is written against contract 2.0", "major"),
        (GOOD.replace("Good", "Mongo").replace("pass", "contract = None"), "is written against contract None", "major"),
        (GOOD.replace("Good", "Mongo").replace("pass", "Options = dict"), "has no Options", "pydantic model"),
        (GOOD.replace("Good", "Mongo").replace("pass", "ports = {}"), "serves no port", "module:Class"),
        (GOOD.replace("Good", "Mongo").replace("pass", "ports = {'a': 'b:C'}"), "unknown ports: a", "ports are config"),
        (
            GOOD.replace("Good", "Mongo").replace("pass", "capabilities = frozenset({'flying'})"),
            "declares unknown capabilities: flying",
            "known are ",
        ),
    ],
)
def test_a_broken_backend_says_whose_it_is_and_why(install: Any, source: str, message: str, hint: str) -> None:
    """Distribution, version, target, reason and remedy; and the others are not disturbed."""
    install("acme-mongo", "0.4", backends={"mongo": "acme_mongo:MongoBackend"}, modules={"acme_mongo": source})

    with pytest.raises(PluginLoadError) as caught:
        registry.load("mongo")

    assert str(caught.value).startswith("backend 'mongo' (acme-mongo 0.4, acme_mongo:MongoBackend) ")
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")
    rows = {row.registration.name: row.status for row in registry.statuses(verify=True)}
    assert rows["mongo"] == "broken"
    assert rows["inmemory"] == "ok"


def test_a_registered_module_that_does_not_exist_is_told_from_a_missing_dependency(install: Any) -> None:
    """Reinstalling helps against the first, installing something else against the second."""
    install("acme-mongo", backends={"mongo": "acme_nowhere.backend:MongoBackend"})

    with pytest.raises(PluginLoadError) as caught:
        registry.load("mongo")

    assert caught.value.hint == "the module acme-mongo registers does not exist; reinstall or upgrade it"


@pytest.mark.parametrize("contract", ["1", "1.0", CONTRACT])
def test_an_earlier_minor_contract_brings_no_new_capabilities(install: Any, contract: str) -> None:
    """What this release does not know is a mistake in a backend that was written for it or before."""
    older = GOOD.replace("pass", f"contract = {contract!r}; capabilities = frozenset({{'flying'}})")
    install("acme-old", backends={"old": "acme_old:GoodBackend"}, modules={"acme_old": older})

    with pytest.raises(PluginLoadError, match="declares unknown capabilities: flying"):
        registry.load("old")


def test_a_later_minor_contract_may_bring_new_capabilities(install: Any) -> None:
    """Only the major number has to be understood."""
    newer = GOOD.replace("pass", "contract = '1.7'; capabilities = frozenset({'flying'})")
    install("acme-new", backends={"new": "acme_new:GoodBackend"}, modules={"acme_new": newer})

    assert registry.load("new").contract == "1.7"


def test_entry_points_are_read_once_until_refreshed(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup costs milliseconds among many distributions, so it is cached; ``refresh`` forgets it."""
    install("acme-a", backends={"a": "acme_a:GoodBackend"}, modules={"acme_a": GOOD})
    registry.installed()
    reads = []
    real = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **group: reads.append(group) or real(**group))

    registry.installed()
    registry.find("a")
    assert reads == []

    discovery.refresh()
    registry.installed()
    assert reads == [{"group": "focal.backends"}]


def test_the_in_memory_capabilities_are_the_union_of_its_stores() -> None:
    """A capability is declared where it is implemented."""
    stores = [resolve(target) for target in InMemoryBackend.ports.values()]

    assert frozenset().union(*(store.capabilities for store in stores)) == InMemoryBackend.capabilities
    assert InMemoryBackend.capabilities <= CAPABILITIES
    assert set(InMemoryBackend.ports) < set(PORTS)
