"""Tenant-bound views: the tenant is filled in, and nobody else's models go in or come out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from focal_core import Focal
from focal_core.audit.bound import BoundAuditStore
from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.errors import ConfigurationError, TenantRequiredError
from focal_core.imports import resolve
from focal_core.memory.models import SearchHit
from focal_core.plugins.backend import port_types
from focal_core.store import Store
from focal_core.tenancy import BOUND_VIEWS, BoundStore, TenantView, bind
from focal_core.tenancy_generator import MAINTENANCE, UnboundMethodError, generate, main, target

OURS, THEIRS = uuid4(), uuid4()


def turn(tenant_id: UUID, **values: Any) -> TurnRecord:
    return TurnRecord(
        tenant_id=tenant_id, session_id=values.pop("session_id", uuid4()), turn_number=0, user_message="hi", **values
    )


@pytest.mark.parametrize("port", BOUND_VIEWS)
def test_the_generated_view_is_fresh(port: str) -> None:
    """After a change of an ABC: python -m focal_core.tenancy_generator."""
    assert target(port).read_text(encoding="utf-8") == generate(port)


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            yield name, method


@pytest.mark.parametrize("port", BOUND_VIEWS)
def test_a_view_has_every_method_without_its_tenant_and_no_maintenance(port: str) -> None:
    """Same names, same parameters in the same order, same kinds and defaults; only ``tenant_id`` is gone."""
    view = resolve(BOUND_VIEWS[port])
    bound = dict(_methods(view))
    expected = {name: method for abc in port_types(port) for name, method in _methods(abc) if name not in MAINTENANCE}

    assert issubclass(view, BoundStore)
    assert view.port == port
    assert bound.keys() == expected.keys()
    for name, method in expected.items():
        full = [one for one in inspect.signature(method).parameters.values() if one.name != "tenant_id"]
        mine = list(inspect.signature(bound[name]).parameters.values())
        assert [(one.name, one.kind, one.default, one.annotation) for one in mine] == [
            (one.name, one.kind, one.default, one.annotation) for one in full
        ]
        assert inspect.iscoroutinefunction(bound[name]) == inspect.iscoroutinefunction(method)


def test_a_freshness_check_fails_on_a_changed_view(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check reports and writes nothing; without it the file is written."""
    stale = tmp_path / "bound.py"
    stale.write_text("# changed by hand")
    monkeypatch.setattr("focal_core.tenancy_generator.target", lambda port: stale)

    assert main(["--check", "audit"]) == 1
    assert stale.read_text() == "# changed by hand"
    assert main(["audit"]) == 0
    assert stale.read_text() == generate("audit")
    assert main(["--check", "audit"]) == 0


def test_a_method_that_names_no_tenant_cannot_be_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten tenant is found when the view is made, not when data leaks."""

    async def count_turns(self, limit: int = 3) -> int:  # type: ignore[no-untyped-def]
        return limit

    store = port_types("audit")[0]
    monkeypatch.setattr(store, "count_turns", count_turns, raising=False)

    with pytest.raises(UnboundMethodError, match=r"AuditStore\.count_turns names no tenant"):
        generate("audit")


@pytest.mark.asyncio
async def test_a_view_fills_the_tenant_in() -> None:
    """Positionally where it is positional, by keyword where it is optional; strict isolation is content."""
    store = InMemoryAuditStore()
    ours, theirs = store.for_tenant(OURS), store.for_tenant(THEIRS)
    record = turn(OURS)

    assert isinstance(ours, BoundAuditStore)
    await ours.save_turn(record)
    assert await ours.get_turn(record.id) == await store.get_turn(record.id, tenant_id=OURS)
    assert [found.id for found in await ours.list_turns_by_tenant(limit=5)] == [record.id]
    assert [found.id for found in await ours.list_turns_by_session(record.session_id, 5)] == [record.id]
    assert await theirs.get_turn(record.id) is None
    assert await theirs.list_turns_by_tenant() == []


@pytest.mark.asyncio
async def test_a_view_refuses_a_model_of_another_tenant() -> None:
    """Nothing is written, and the error has its own code."""
    store = InMemoryAuditStore()

    with pytest.raises(TenantRequiredError) as caught:
        await store.for_tenant(OURS).save_event(AuditEvent(tenant_id=THEIRS, event_type="x"))

    assert caught.value.code == "tenant_mismatch"
    assert str(THEIRS) not in str(caught.value)
    assert await store.list_tenants() == []


class _Leaking(InMemoryAuditStore):
    """A store that answers with another tenant's rows."""

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        return turn(THEIRS)

    async def list_turns_by_session(self, *args: Any, **kwargs: Any) -> Any:
        return [turn(OURS), turn(THEIRS)]


@pytest.mark.asyncio
async def test_a_view_checks_results_too() -> None:
    """A backend that forgot its filter is caught, also by the last row of a list."""
    view = _Leaking().for_tenant(OURS)

    for call in (view.get_turn(uuid4()), view.list_turns_by_session(uuid4())):
        with pytest.raises(TenantRequiredError) as caught:
            await call
        assert caught.value.code == "tenant_mismatch"


@pytest.mark.parametrize(
    "hide",
    [
        lambda model: [model],
        lambda model: (model, 0.5),
        lambda model: [(model, 0.5)],
        lambda model: {"entity": model, "distance": 1},
        lambda model: [{"via": [model]}],
        lambda model: SearchHit(item=model, score=0.5, vector_score=None, text_score=None, rank=1),
    ],
)
def test_models_are_found_wherever_a_result_holds_them(hide: Any) -> None:
    """Lists, pairs with scores, hits, paths."""
    view: BoundStore[Any] = BoundAuditStore(InMemoryAuditStore(), OURS)

    assert view._own(hide(turn(OURS)))
    with pytest.raises(TenantRequiredError):
        view._own(hide(turn(THEIRS)))


def test_a_view_is_bound_to_a_uuid_and_a_known_port() -> None:
    """None would mean everybody; a store of no port has no view."""
    with pytest.raises(TenantRequiredError, match="a tenant is a UUID, not NoneType"):
        bind(InMemoryAuditStore(), None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="object is of no store port"):
        bind(object(), OURS)


def test_a_view_owns_nothing_and_says_whose_it_is() -> None:
    """Cheap: two references and no dictionary."""
    view = InMemoryAuditStore().for_tenant(OURS)

    assert not hasattr(view, "__dict__")
    assert repr(view) == f"BoundAuditStore({OURS})"
    assert view.tenant_id == OURS


@pytest.mark.asyncio
async def test_the_tenant_of_an_open_focal_carries_every_port() -> None:
    """Stores and providers are bound."""
    ports = {"stores": {"default": "inmemory"}, "providers": {"embedding": "hashing", "rerank": "hashing"}}
    async with Focal.open(ports) as focal:
        tenant = focal.tenant(OURS)

        assert isinstance(tenant, TenantView)
        assert repr(tenant) == f"TenantView({OURS})"
        for port in BOUND_VIEWS:
            view = getattr(tenant, port)
            assert (view.port, view.tenant_id) == (port, OURS)
        assert tenant.embedding.spec == focal.embedding.spec
        assert tenant.rerank.model_id == focal.rerank.model_id


def test_maintenance_is_not_reachable_through_a_view() -> None:
    """Methods over all tenants would be a door out of the view."""
    assert {"list_tenants", "erase_tenant"} <= MAINTENANCE
    assert not any(hasattr(resolve(view), name) for view in BOUND_VIEWS.values() for name in MAINTENANCE)
    assert all(hasattr(Store, name) for name in ("list_tenants", "erase_tenant", "for_tenant"))
