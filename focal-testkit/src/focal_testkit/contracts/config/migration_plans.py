"""Migration plans: what they hold, which way their status goes, which of several answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.config.models import (
    LEGAL_TRANSITIONS,
    MigrationPlan,
    MigrationPlanStatus,
    ScopeFilter,
    TransformationMap,
)
from focal_core.config.store import ConfigStore
from focal_core.errors import ConflictError, InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import OTHER_SCENARIO, SCENARIO, START, numbered, plan
from focal_testkit.data.generate import instance
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

DRAFT, APPROVED, DEPLOYED, SUPERSEDED, REJECTED = MigrationPlanStatus


def _with_times(n: int, status: MigrationPlanStatus, **fields: Any) -> MigrationPlan:
    return plan(n, status=status, approved_at=START, deployed_at=START, **fields)


class MigrationPlanContract(ContractBase):
    """Migration plans."""

    @requirement("CONFIG-070", since="1.0")
    async def test_save_and_get_migration_plan(self, store: ConfigStore) -> None:
        """A saved plan is found by its id with all its parts, keys unknown to focal included.

        If this fails: a part has no place in the store, or unknown keys are dropped.
        """
        parts = instance(TransformationMap, full=True).model_dump(exclude={"extra"})
        saved = plan(
            0,
            transformation_map={**parts, "generator": {"version": [1, 1.0]}},
            scope_filter=ScopeFilter(include_channels=["webchat"], min_session_age_days=0),
            anchor_policies={"k": {"anchor_content_hash": "k", "anchor_name": "ask", "update_downstream": False}},
            summary={"total_anchors": 2, "sessions_by_anchor": {"ask": 10}},
        )
        await store.save_migration_plan(plan(0, tenant=THEIRS))

        assert await store.save_migration_plan(saved) == saved.id

        found = await store.get_migration_plan(OURS, saved.id)
        assert found == saved
        assert found is not None
        assert found.transformation_map.extra == {"generator": {"version": [1, 1.0]}}
        assert await store.get_migration_plan(OURS, numbered(99)) is None

    @requirement("CONFIG-071", since="1.0")
    async def test_plan_transitions(self, store: ConfigStore) -> None:
        """A plan's status stays, or goes draft, approved, deployed, superseded; a draft may also be rejected or
        superseded; any other way is refused and changes nothing (INV-M2).

        If this fails: the new status is not compared with the stored one, or a legal way is closed.
        """
        legal = {(DRAFT, APPROVED), (DRAFT, REJECTED), (DRAFT, SUPERSEDED), (APPROVED, DEPLOYED)}
        legal |= {(DEPLOYED, SUPERSEDED)} | {(status, status) for status in MigrationPlanStatus}
        assert {(old, new) for old, ways in LEGAL_TRANSITIONS.items() for new in ways} < legal
        pairs = [(old, new) for old in MigrationPlanStatus for new in MigrationPlanStatus]
        for n, (old, new) in enumerate(pairs):
            await store.save_migration_plan(_with_times(n, old))
            changed = _with_times(n, new, created_by="me")

            if (old, new) in legal:
                await store.save_migration_plan(changed)
            else:
                with pytest.raises(ConflictError):
                    await store.save_migration_plan(changed)

            found = await store.get_migration_plan(OURS, plan(n).id)
            assert found is not None
            assert (found.status, found.created_by) == ((new, "me") if (old, new) in legal else (old, None))

    @requirement("CONFIG-072", since="1.0")
    async def test_plan_for_versions(self, store: ConfigStore) -> None:
        """The plan between two versions is the newest one that is not rejected or superseded; of equal age that of
        the lower id.

        If this fails: a plan that is over answers, the oldest does, or a version is not compared.
        """
        later = START + timedelta(hours=1)
        await store.save_migration_plan(plan(1))
        await store.save_migration_plan(plan(8, created_at=later))
        await store.save_migration_plan(_with_times(6, APPROVED, created_at=later))
        await store.save_migration_plan(plan(7, created_at=later))
        for n, status in ((10, REJECTED), (11, SUPERSEDED)):
            await store.save_migration_plan(_with_times(n, status, created_at=later + timedelta(days=n)))
        newest = later + timedelta(days=1)
        await store.save_migration_plan(plan(12, created_at=newest, to_version=3))
        await store.save_migration_plan(plan(13, created_at=newest, from_version=2, to_version=3))
        await store.save_migration_plan(plan(14, created_at=newest, scenario_id=OTHER_SCENARIO))
        await store.save_migration_plan(plan(15, tenant=THEIRS, created_at=newest))

        async def answer(older: int, newer: int) -> Any:
            found = await store.get_migration_plan_for_versions(OURS, SCENARIO, older, newer)
            return found and found.id

        assert await answer(1, 2) == plan(6).id
        await store.delete_migration_plan(OURS, plan(6).id)
        assert await answer(1, 2) == plan(7).id
        assert (await answer(1, 3), await answer(2, 3)) == (plan(12).id, plan(13).id)
        assert await answer(2, 1) is None

    @requirement("CONFIG-073", since="1.0")
    async def test_list_migration_plans(self, store: ConfigStore) -> None:
        """Plans are listed newest first, ties by id ascending, and every filter given must hold.

        If this fails: the order is ascending, or one filter replaces the other.
        """
        for n, minutes in ((3, 5), (10, 0), (9, 0), (2, 5)):
            await store.save_migration_plan(plan(n, created_at=START + timedelta(minutes=minutes)))
        await store.save_migration_plan(plan(4, scenario_id=OTHER_SCENARIO))
        await store.save_migration_plan(_with_times(5, REJECTED))
        await store.save_migration_plan(_with_times(6, REJECTED, scenario_id=OTHER_SCENARIO))
        await store.save_migration_plan(plan(7, tenant=THEIRS))

        async def found(**filters: Any) -> list[Any]:
            return [one.id for one in await store.list_migration_plans(OURS, **filters)]

        assert await found() == [plan(n).id for n in (6, 2, 3, 5, 4, 9, 10)]
        assert await found(scenario_id=SCENARIO) == [plan(n).id for n in (2, 3, 5, 9, 10)]
        assert await found(status=REJECTED) == [plan(n).id for n in (6, 5)]
        assert await found(scenario_id=OTHER_SCENARIO, status=DRAFT) == [plan(4).id]
        assert await found(scenario_id=numbered(99)) == []

    @requirement("CONFIG-074", since="1.0")
    async def test_deployed_plan_is_not_deleted(self, store: ConfigStore) -> None:
        """A deployed plan is not deleted; one of any other status is.

        If this fails: running sessions lose the plan they are migrated by.
        """
        for n, status in enumerate(MigrationPlanStatus):
            await store.save_migration_plan(_with_times(n, status))

            if status is DEPLOYED:
                with pytest.raises(ConflictError):
                    await store.delete_migration_plan(OURS, plan(n).id)
            else:
                assert await store.delete_migration_plan(OURS, plan(n).id) is True

        assert [one.status for one in await store.list_migration_plans(OURS)] == [DEPLOYED]

    @requirement("CONFIG-075", since="1.0")
    async def test_plan_invariants(self, store: ConfigStore) -> None:
        """A plan goes to a later version (INV-M1); once approved it says when, once deployed also when (INV-M3).

        If this fails: the model does not check, or the store trusts an object that was changed behind the model.
        """
        wrong: list[dict[str, Any]] = [
            {"from_version": 2},
            {"from_version": 3},
            {"status": APPROVED},
            {"status": DEPLOYED, "approved_at": START},
            {"status": DEPLOYED, "deployed_at": START},
        ]
        for fields in wrong:
            with pytest.raises(ValidationError):
                plan(0, **fields)
            broken = plan(0)
            broken.__dict__.update(fields)
            with pytest.raises(InvalidDataError):
                await store.save_migration_plan(broken)
        assert await store.list_migration_plans(OURS) == []
        assert plan(0, status="PENDING").status is DRAFT

    @requirement("CONFIG-076", since="1.0")
    async def test_status_goes_on_from_a_deleted_plan(self, store: ConfigStore) -> None:
        """Reviving a deleted plan is held to the same ways of its status.

        If this fails: deleting a plan is a way around its status.
        """
        gone = _with_times(0, REJECTED)
        await store.save_migration_plan(gone)
        await store.delete_migration_plan(OURS, gone.id)

        with pytest.raises(ConflictError):
            await store.save_migration_plan(plan(0, deleted_at=None, row_version=gone.row_version))

        assert await store.list_migration_plans(OURS) == []
