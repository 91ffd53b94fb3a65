"""Scenarios: graphs of steps, saved whole; archived versions that never change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.clock import ManualClock
from focal_core.config.models import MigrationPlanStatus, Scenario, StepTransition, step_hashes
from focal_core.config.store import ConfigStore
from focal_core.errors import ConflictError, InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import (
    AGENT,
    NEVER,
    OTHER_AGENT,
    OTHER_SCENARIO,
    START,
    agent,
    at,
    numbered,
    plan,
    scenario,
    step,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class ScenarioContract(ContractBase):
    """Scenarios and their archive."""

    @requirement("CONFIG-040", since="1.0")
    async def test_save_and_get_scenario(self, store: ConfigStore) -> None:
        """A saved scenario comes back with all its steps in their order, whole after an update too; no agent need be
        saved first.

        If this fails: steps are rows of their own that are reordered, lost or left behind.
        """
        steps = [step(n, name=name) for n, name in ((3, "c"), (1, "a"), (2, "b"), (10, "d"))]
        steps[0].transitions = [
            StepTransition(
                to_step_id=one.id, condition_text="if", condition_embedding=tuple(at(0.6)), priority=one is steps[2]
            )
            for one in (steps[2], steps[1])
        ]
        first = scenario(0, steps=steps, entry_step_id=steps[1].id, tags=["b", "a"], version=3)
        await store.save_scenario(scenario(0, tenant=THEIRS))

        assert await store.save_scenario(first) == first.id

        found = await store.get_scenario(OURS, first.id)
        assert found == first
        assert await store.get_scenarios(OURS, AGENT) == [first]
        assert await store.get_scenario(OURS, numbered(99)) is None
        second = scenario(0, steps=[steps[2], steps[1]])
        await store.save_scenario(second)
        assert await store.get_scenario(OURS, first.id) == second

    @requirement("CONFIG-041", since="1.0")
    async def test_scenarios_order(self, store: ConfigStore) -> None:
        """The scenarios of an agent come by created_at, then id, disabled ones only on request.

        If this fails: ties are in the order of saving, the default is the wrong way round, or an agent is ignored.
        """
        for n, minutes in ((3, 5), (10, 0), (9, 0), (2, 5)):
            await store.save_scenario(scenario(n, created_at=START + timedelta(minutes=minutes), enabled=n != 9))
        await store.save_scenario(scenario(4, agent_id=OTHER_AGENT))
        await store.save_scenario(scenario(5, tenant=THEIRS))

        enabled = await store.get_scenarios(OURS, AGENT)
        everything = await store.get_scenarios(OURS, AGENT, enabled_only=False)

        assert [one.id for one in enabled] == [scenario(n).id for n in (10, 2, 3)]
        assert [one.id for one in everything] == [scenario(n).id for n in (9, 10, 2, 3)]

    @requirement("CONFIG-042", since="1.0")
    async def test_archive_immutable(self, store: ConfigStore, clock: ManualClock) -> None:
        """An archived version never changes: the same content again is a no-op, other content is refused (INV-SA1).

        If this fails: the last writer wins, a repeat is refused, or the archive follows the live scenario.
        """
        archived_at = clock.now()
        assert await store.archive_scenario(scenario(0, version=2)) == 2
        clock.advance(seconds=60)
        await store.save_scenario(scenario(0, version=2, name="renamed later"))

        assert await store.archive_scenario(scenario(0, version=2, row_version=9, updated_at=START)) == 2
        with pytest.raises(ConflictError):
            await store.archive_scenario(scenario(0, version=2, tags=["new"]))

        found = await store.get_archived_scenario(OURS, scenario(0).id, 2)
        assert found is not None
        assert (found.tenant_id, found.scenario_id, found.version) == (OURS, scenario(0).id, 2)
        assert found.archived_at == archived_at
        assert found.scenario_data.model_dump(exclude={"created_at", "updated_at"}) == scenario(
            0, version=2
        ).model_dump(exclude={"created_at", "updated_at"})

    @requirement("CONFIG-043", since="1.0")
    async def test_archive_versions(self, store: ConfigStore) -> None:
        """Archived versions are listed ascending by number, and each is found by its own.

        If this fails: numbers are compared as text, or another scenario's or tenant's versions are listed.
        """
        for version in (10, 9, 1):
            await store.archive_scenario(scenario(0, version=version, name=f"v{version}"))
        await store.archive_scenario(scenario(1, version=2))
        await store.archive_scenario(scenario(0, tenant=THEIRS, version=3))

        assert await store.list_archived_versions(OURS, scenario(0).id) == [1, 9, 10]
        assert await store.list_archived_versions(OURS, OTHER_SCENARIO) == []
        found = await store.get_archived_scenario(OURS, scenario(0).id, 9)
        assert found is not None
        assert found.scenario_data.name == "v9"
        assert await store.get_archived_scenario(OURS, scenario(0).id, 2) is None
        assert await store.get_archived_scenario(OURS, scenario(0).id, 3) is None

    @requirement("CONFIG-044", since="1.0")
    async def test_purge_archives(self, store: ConfigStore, clock: ManualClock) -> None:
        """A purge removes the versions archived before a moment, of one tenant, and says how many.

        If this fails: the moment itself is removed, the neighbour's versions go too, or live scenarios do.
        """
        await store.save_scenario(scenario(0))
        for version in (1, 2, 3):
            await store.archive_scenario(scenario(0, version=version))
            await store.archive_scenario(scenario(0, tenant=THEIRS, version=version))
            clock.advance(seconds=60)
        second = clock.now() - timedelta(seconds=120)

        assert await store.purge_archives(OURS, second) == 1

        assert await store.purge_archives(OURS, second) == 0
        assert await store.list_archived_versions(OURS, scenario(0).id) == [2, 3]
        assert await store.list_archived_versions(THEIRS, scenario(0).id) == [1, 2, 3]
        assert await store.get_scenario(OURS, scenario(0).id) is not None
        with pytest.raises(InvalidDataError):
            await store.purge_archives(OURS, datetime(2999, 1, 1))  # noqa: DTZ001

    @requirement("CONFIG-045", since="1.0")
    async def test_purge_keeps_planned_versions(self, store: ConfigStore, clock: ManualClock) -> None:
        """A purge keeps both versions of every plan that is draft, approved or deployed, and of no other plan.

        If this fails: sessions on an older version lose what they are to be migrated from or to.
        """
        for version in range(1, 12):
            await store.archive_scenario(scenario(0, version=version))
            await store.archive_scenario(scenario(1, version=version))
        plans = (
            (1, 2, MigrationPlanStatus.DRAFT, OURS),
            (3, 4, MigrationPlanStatus.APPROVED, OURS),
            (5, 6, MigrationPlanStatus.DEPLOYED, OURS),
            (7, 8, MigrationPlanStatus.REJECTED, OURS),
            (8, 9, MigrationPlanStatus.SUPERSEDED, OURS),
            (9, 10, MigrationPlanStatus.DRAFT, THEIRS),
            (10, 11, MigrationPlanStatus.DRAFT, OURS),
        )
        for n, (older, newer, status, tenant) in enumerate(plans):
            given = {"from_version": older, "to_version": newer, "status": status, "scenario_id": scenario(0).id}
            await store.save_migration_plan(plan(n, tenant, approved_at=START, deployed_at=START, **given))
        await store.delete_migration_plan(OURS, plan(6).id)

        assert await store.purge_archives(OURS, clock.now() + timedelta(seconds=1)) == 5 + 11

        assert await store.list_archived_versions(OURS, scenario(0).id) == [1, 2, 3, 4, 5, 6]

    @requirement("CONFIG-046", since="1.0")
    async def test_scenario_graph_invariants(self, store: ConfigStore) -> None:
        """A scenario is a closed graph: one entry step (INV-S1), step ids unique and its own (INV-S2), transitions
        within (INV-S3), checkpoints described (INV-S4), nothing behind a terminal step (INV-S5).

        If this fails: the model does not check, or the store trusts an object that was changed behind the model.
        """
        away = StepTransition(to_step_id=numbered(99), condition_text="leave")
        home = StepTransition(to_step_id=step(1).id, condition_text="return")
        wrong: list[dict[str, Any]] = [
            {"entry_step_id": numbered(99)},
            {"steps": [step(1, is_entry=True), step(2, is_entry=True)]},
            {"steps": [step(1), step(2, is_entry=True)], "entry_step_id": step(1).id},
            {"steps": [step(1), step(1, name="again")]},
            {"steps": [step(1, scenario_id=OTHER_SCENARIO)]},
            {"steps": [step(1, transitions=[away])]},
        ]
        for fields in wrong:
            with pytest.raises(ValidationError):
                scenario(0, **fields)
            broken = scenario(0)
            broken.__dict__.update(fields)
            broken.model_fields_set.update(fields)
            with pytest.raises(InvalidDataError):
                await store.save_scenario(broken)
        for kind in ({"is_checkpoint": True}, {"is_terminal": True, "transitions": [home]}):
            with pytest.raises(ValidationError):
                step(1, **kind)
            broken = scenario(0, steps=[step(1)])
            broken.steps[0].__dict__.update(kind)
            with pytest.raises(InvalidDataError):
                await store.save_scenario(broken)
        assert await store.get_scenarios(OURS, AGENT) == []

    @requirement("CONFIG-047", since="1.0")
    async def test_entry_step(self, store: ConfigStore) -> None:
        """The entry step is the one given, else the one marked, else the first; it alone is marked, and every step
        names its scenario. A loaded scenario's entry follows its steps.

        If this fails: what the model fills in is lost on the way, or comes back as if it had been given.
        """
        first, second = step(1), step(2)
        cases = [
            (scenario(0, steps=[first, second]), first),
            (scenario(1, steps=[first, step(2, is_entry=True)]), second),
            (scenario(2, steps=[first, second], entry_step_id=second.id), second),
        ]
        for given, entry in cases:
            await store.save_scenario(given)
            found = await store.get_scenario(OURS, given.id)
            assert found is not None
            assert found.entry_step_id == entry.id
            assert [one.id for one in found.steps if one.is_entry] == [entry.id]
            assert {one.scenario_id for one in found.steps} == {given.id}
            found.steps = [step(3), step(4)]
            await store.save_scenario(found)
            changed = await store.get_scenario(OURS, given.id)
            assert changed is not None
            assert changed.entry_step_id == step(3).id

    @requirement("CONFIG-048", since="1.0")
    async def test_content_hashes(self, store: ConfigStore) -> None:
        """Hashes depend on content alone: equal steps have equal hashes across versions, and no two steps of a
        scenario share one. A loaded scenario has the hashes of the saved one, and its own follows later changes unless
        another was given.

        If this fails: an id or the order of a set is part of the hash, or what is hashed is altered by the store.
        """
        rules, fields = [numbered(1), numbered(2)], ["b", "a"]
        told = {"description": "d", "is_checkpoint": True, "checkpoint_description": "c", "performs_action": True}
        one = step(1, name="ask", rule_ids=rules, collects_profile_fields=fields, **told)
        twin = step(2, name="ask", rule_ids=rules[::-1], collects_profile_fields=fields[::-1], **told)
        older = scenario(0, steps=[one, step(3, name="ask"), step(4, name="ask")])
        newer = scenario(1, name=older.name, entry_condition=older.entry_condition, steps=[twin, step(5, name="ask")])
        changed: list[dict[str, Any]] = [
            {"name": "x"},
            {"description": None},
            {"rule_ids": []},
            {"collects_profile_fields": []},
        ]
        changed += [{"checkpoint_description": "x"}, {"performs_action": False}, {"is_checkpoint": False}]

        hashes, later = list(older.step_hashes().values()), list(newer.step_hashes().values())

        assert hashes[:2] == later
        assert len(set(hashes)) == 3
        assert hashes == ["ff82418b26416dda", "852ba87c8a479835", "34666b942f514dbf"]
        for values in changed:
            other = one.model_copy(update=values)
            assert step_hashes([other])[one.id] != hashes[0]
        await store.save_scenario(older)
        found = await store.get_scenario(OURS, older.id)
        assert found is not None
        assert (found.content_hash, found.step_hashes()) == (older.content_hash, older.step_hashes())
        found.steps[1].name = "changed"
        await store.save_scenario(found)
        again = await store.get_scenario(OURS, older.id)
        assert again is not None
        assert again.content_hash not in (None, older.content_hash)
        given = scenario(2, content_hash="0123456789abcdef")
        await store.save_scenario(given)
        assert (await store.get_scenarios(OURS, AGENT))[1].content_hash == "0123456789abcdef"
        same = Scenario(**{**older.model_dump(exclude={"content_hash"}), "row_version": 0})
        assert same.content_hash == older.content_hash != newer.content_hash

    @requirement("CONFIG-049", since="1.0")
    async def test_archive_outlives_the_scenario(self, store: ConfigStore) -> None:
        """Archived versions stay readable when the scenario or its agent is deleted, and need neither.

        If this fails: sessions on an older version lose their scenario.
        """
        await store.save_agent(agent(0, id=AGENT))
        await store.save_scenario(scenario(0))
        await store.archive_scenario(scenario(0))

        await store.delete_scenario(OURS, scenario(0).id)
        await store.delete_agent(OURS, AGENT)

        assert await store.list_archived_versions(OURS, scenario(0).id) == [1]
        assert await store.get_archived_scenario(OURS, scenario(0).id, 1) is not None
        assert await store.purge_archives(OURS, NEVER) == 1
