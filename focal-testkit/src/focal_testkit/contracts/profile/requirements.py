"""Scenario requirements: which fields a scenario needs, as a whole and step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext, Limits
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.profile import OTHER_AGENT, OTHER_SCENARIO, OTHER_STEP, SCENARIO, STEP, needs
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

RULE, OTHER_RULE = uuid4(), uuid4()


async def _orders(store: ProfileStore, step_id: Any = None, scenario: Any = SCENARIO, tenant: Any = OURS) -> list[int]:
    found = await store.get_scenario_requirements(tenant, scenario, step_id=step_id)
    return [one.collection_order for one in found]


async def _steps(store: ProfileStore) -> None:
    """Store requirements 0 to 5: for the scenario, two steps and other scenarios, of two tenants."""
    for tenant in (OURS, THEIRS):
        await store.save_scenario_requirement(needs(0, tenant=tenant))
        await store.save_scenario_requirement(needs(1, tenant=tenant, step_id=STEP))
        await store.save_scenario_requirement(needs(2, "phone", tenant, step_id=STEP))
        await store.save_scenario_requirement(needs(3, tenant=tenant, step_id=OTHER_STEP))
        await store.save_scenario_requirement(needs(4, tenant=tenant, scenario_id=OTHER_SCENARIO))
        await store.save_scenario_requirement(needs(5, tenant=tenant, scenario_id=OTHER_SCENARIO, step_id=STEP))


class RequirementContract(ContractBase):
    """``get_scenario_requirements``, ``save_scenario_requirement``, ``delete_scenario_requirements``."""

    @requirement("PROFILES-200", since="1.0")
    async def test_requirement_step_semantics(self, store: ProfileStore) -> None:
        """No step means what the scenario needs as a whole; a step inherits that and adds its own (C-22).

        If this fails: None lists every step's, or a step does not inherit.
        """
        await _steps(store)

        assert await _orders(store) == [0]
        assert await _orders(store, STEP) == [0, 1, 2]
        assert await _orders(store, OTHER_STEP) == [0, 3]
        assert await _orders(store, uuid4()) == [0]
        assert await _orders(store, STEP, OTHER_SCENARIO) == [4, 5]
        assert await _orders(store, STEP, uuid4()) == []

    @requirement("PROFILES-201", since="1.0")
    async def test_requirement_order(self, store: ProfileStore) -> None:
        """Requirements come by collection_order, then field name, then id, whole-scenario and step's together.

        If this fails: the order is that of saving, numbers are compared as text, or a step's come last.
        """
        given = [
            needs(7, "b", collection_order=10),
            needs(3, "a", collection_order=10, step_id=STEP),
            needs(9, "c", collection_order=5, step_id=STEP),
            needs(6, "b", collection_order=10, rule_id=RULE),
            needs(8, "z", collection_order=-1),
            needs(2, "B", collection_order=10),
        ]
        for one in given:
            await store.save_scenario_requirement(one)

        found = await store.get_scenario_requirements(OURS, SCENARIO, step_id=STEP)

        assert [one.id for one in found] == [needs(n).id for n in (8, 9, 2, 3, 6, 7)]

    @requirement("PROFILES-202", since="1.0")
    async def test_requirement_duplicate(self, store: ProfileStore) -> None:
        """A field is required once per agent, scenario, step and rule: another id is DuplicateError (INV-Q1).

        If this fails: no step or no rule counts as different from itself, or a part of the key is left out.
        """
        places: list[dict[str, Any]] = [{}, {"step_id": STEP}, {"rule_id": RULE}, {"step_id": STEP, "rule_id": RULE}]
        for n, place in enumerate(places):
            await store.save_scenario_requirement(needs(n, **place))
            with pytest.raises(DuplicateError):
                await store.save_scenario_requirement(needs(n + 10, **place))
        others: list[dict[str, Any]] = [
            {"name": "phone"},
            {"agent_id": OTHER_AGENT},
            {"scenario_id": OTHER_SCENARIO},
            {"step_id": OTHER_STEP},
            {"rule_id": OTHER_RULE},
            {"tenant": THEIRS},
        ]

        for n, other in enumerate(others):
            await store.save_scenario_requirement(needs(n + 20, **other))

        assert await _orders(store, STEP) == [0, 1, 2, 3, 20, 21, 24]

    @requirement("PROFILES-203", since="1.0")
    async def test_requirement_update(self, store: ProfileStore, clock: ManualClock) -> None:
        """A requirement saved again under its id replaces the former one, and frees the place it had.

        If this fails: both stay, the old place is still taken, or the first time of creation is lost.
        """
        assert await store.save_scenario_requirement(needs(0)) == needs(0).id
        created = clock.now()
        clock.advance(seconds=60)
        moved = needs(0, step_id=STEP, depends_on_fields=["phone"], collection_order=3)

        await store.save_scenario_requirement(moved)

        assert await _orders(store) == []
        [found] = await store.get_scenario_requirements(OURS, SCENARIO, step_id=STEP)
        assert found == moved
        assert (found.created_at, found.updated_at) == (created, clock.now())
        await store.save_scenario_requirement(needs(1))
        assert await _orders(store, STEP) == [1, 3]

    @requirement("PROFILES-204", since="1.0")
    async def test_delete_requirements_scoped(self, store: ProfileStore) -> None:
        """No step removes what the scenario needs as a whole, a step only its own; the number removed is returned.

        If this fails: None deletes all, a step takes inherited ones along, or another scenario or tenant loses its own.
        """
        await _steps(store)

        assert await store.delete_scenario_requirements(OURS, SCENARIO, step_id=uuid4()) == 0
        assert await store.delete_scenario_requirements(OURS, SCENARIO, step_id=STEP) == 2
        assert await store.delete_scenario_requirements(OURS, SCENARIO, step_id=STEP) == 0
        assert (await _orders(store, STEP), await _orders(store, OTHER_STEP)) == ([0], [0, 3])
        assert await store.delete_scenario_requirements(OURS, SCENARIO) == 1

        assert await _orders(store, OTHER_STEP) == [3]
        assert await _orders(store, STEP, OTHER_SCENARIO) == [4, 5]
        assert await _orders(store, STEP, tenant=THEIRS) == [0, 1, 2]
        await store.save_scenario_requirement(needs(9))

    @requirement("PROFILES-205", since="1.0")
    async def test_delete_requirements_of_all_steps(self, store: ProfileStore) -> None:
        """``all_steps`` removes everything the scenario has; together with a step it is refused.

        If this fails: a contradiction deletes one or the other, or the flag reaches other scenarios.
        """
        await _steps(store)

        with pytest.raises(InvalidDataError):
            await store.delete_scenario_requirements(OURS, SCENARIO, step_id=STEP, all_steps=True)
        assert await _orders(store, STEP) == [0, 1, 2]

        assert await store.delete_scenario_requirements(OURS, SCENARIO, all_steps=True) == 4
        assert await store.delete_scenario_requirements(OURS, SCENARIO, all_steps=True) == 0
        assert await _orders(store, OTHER_STEP) == []
        assert await _orders(store, STEP, OTHER_SCENARIO) == [4, 5]
        assert await _orders(store, STEP, tenant=THEIRS) == [0, 1, 2]

    @requirement("PROFILES-206", since="1.0")
    async def test_requirements_never_cut(self, context: BackendContext) -> None:
        """The requirements of a scenario come whole, or are refused beyond the cap for unpaged lists; never cut.

        If this fails: a scenario with many requirements is taken for complete too early.
        """
        async with self.open_store(replace(context, limits=Limits(unpaged_cap=3))) as store:
            for n in range(3):
                await store.save_scenario_requirement(needs(n, f"f{n}"))
            await store.save_scenario_requirement(needs(3, "f3", step_id=STEP))
            assert await _orders(store) == [0, 1, 2]

            with pytest.raises(InvalidDataError) as refused:
                await _orders(store, STEP)

            assert refused.value.code == "result_too_large"
