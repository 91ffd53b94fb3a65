"""The base of every store contract: fixtures, capabilities, and what is generated per method and model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from focal_core.clock import ManualClock
from focal_core.context import BackendContext, Isolation
from focal_testkit.scenarios import Scenarios


class ContractBase(ABC):
    """What a contract class is: a subclass gives ``open_store`` and inherits every test.

    Fixtures for the tests: ``clock`` (a ManualClock that starts at the present), ``context``, ``store`` (empty,
    strict isolation) and ``trusting_store`` (empty, trusting isolation). A test that needs other limits or policies
    opens a store of its own: ``async with self.open_store(replace(context, ...)) as store``.
    """

    scenarios: ClassVar[Scenarios]
    """The port's scenarios; set by each port's contract class."""

    @abstractmethod
    def open_store(self, context: BackendContext) -> AbstractAsyncContextManager[Any]:
        """Return an async context manager that yields an EMPTY store built with the context.

        What is yielded must answer by ``context.clock``, ``context.isolation``, ``context.limits`` and the policies.
        """

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Return the clock of the store under test."""
        return ManualClock()

    @pytest.fixture
    def context(self, clock: ManualClock) -> BackendContext:
        """Return the context of the store under test: strict isolation, default limits and policies."""
        return BackendContext(clock=clock)

    @pytest_asyncio.fixture
    async def store(self, request: pytest.FixtureRequest, context: BackendContext) -> AsyncIterator[Any]:
        """Yield an empty store under strict isolation."""
        async with self.open_store(context) as store:
            _skip_unless_applicable(request, store)
            yield store

    @pytest_asyncio.fixture
    async def trusting_store(self, request: pytest.FixtureRequest, context: BackendContext) -> AsyncIterator[Any]:
        """Yield an empty store under trusting isolation."""
        async with self.open_store(replace(context, isolation=Isolation.TRUSTING)) as store:
            _skip_unless_applicable(request, store)
            yield store

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the generated checks once per method, model, list or capability of the port."""
        scenarios = self.scenarios
        cases: dict[str, list[Any]] = {
            "method": scenarios.methods(),
            "tenantless_method": scenarios.tenantless_methods(),
            "stored": list(scenarios.stored),
            "repeatable": [stored for stored in scenarios.stored if stored.repeatable],
            "listing": list(scenarios.listings),
            "removable_listing": [listing for listing in scenarios.listings if listing.remove is not None],
            "offset_listing": [listing for listing in scenarios.listings if listing.has_offset],
            "unpaged_listing": [listing for listing in scenarios.listings if listing.optional_limit],
            "capability_call": [
                (capability, method)
                for capability, methods in sorted(scenarios.capability_calls.items())
                for method in methods
            ],
        }
        for name, values in cases.items():
            if name in metafunc.fixturenames:
                ids = [value[1] if isinstance(value, tuple) else str(value) for value in values]
                if not values:
                    values, ids = [pytest.param(None, marks=pytest.mark.skip(f"n/a: no {name} on this port"))], ["none"]
                metafunc.parametrize(name, values, ids=ids)


def _skip_unless_applicable(request: pytest.FixtureRequest, store: Any) -> None:
    found = getattr(request.function, "requirement", None)
    if found is None:
        return
    if found.needs is not None and found.needs not in store.capabilities:
        pytest.skip(f"n/a: capability {found.needs!r} is not declared")
    if found.unless is not None and found.unless in store.capabilities:
        pytest.skip(f"n/a: capability {found.unless!r} is declared")
