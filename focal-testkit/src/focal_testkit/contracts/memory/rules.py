"""What holds alike for episodes, entities and relationships: adding, updating, deleting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import (
    DuplicateError,
    EmbeddingSpaceError,
    InvalidDataError,
    NotFoundError,
    TenantRequiredError,
)
from focal_core.memory.store import MemoryStore
from focal_core.vectors import VectorPolicy
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.memory.kinds import EMBEDDED, KINDS, VERSIONED, Kind, without
from focal_testkit.data.memory import GROUP, OTHER_GROUP, START, at, entity, episode
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
embedded = pytest.mark.parametrize("kind", EMBEDDED, ids=str)


class RuleContract(ContractBase):
    """``add_*``, ``update_*`` and ``delete_*`` of all kinds."""

    @every_kind
    @requirement("MEMORY-001", since="1.0")
    async def test_add_duplicate_identical(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """Adding a row again succeeds, stores no second one and keeps the first time of recording.

        If this fails: a retry after a lost reply is refused, or overwrites what was stored.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build(**{kind.extra: {"n": 1}}))
        first = await kind.get(store, kind.build().id)
        clock.advance(seconds=60)

        assert await kind.add(store, kind.build(**{kind.extra: {"n": 1}})) == first.id

        assert await kind.listed(store) == [first]

    @every_kind
    @requirement("MEMORY-002", since="1.0")
    async def test_add_duplicate_different(self, store: MemoryStore, kind: Kind) -> None:
        """Adding other content under a stored id is refused, however small the difference.

        If this fails: the later row replaces the earlier one, or is dropped in silence.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build(**{kind.extra: {"n": 1}}))
        before = await kind.get(store, kind.build().id)

        differences: list[Mapping[str, Any]] = [
            {kind.extra: {"n": 1.0}},
            {kind.extra: {"n": True}},
            {"valid_from": START - timedelta(microseconds=1)},
            {"valid_to": START + timedelta(days=900)},
            kind.change,
        ]
        for difference in differences:
            with pytest.raises(DuplicateError) as refused:
                await kind.add(store, kind.build(**{kind.extra: {"n": 1}, **difference}))
            assert refused.value.code == "record_differs"

        assert await kind.get(store, before.id) == before

    @every_kind
    @requirement("MEMORY-003", since="1.0")
    async def test_rebuilt_object_is_a_repeat(self, store: MemoryStore, kind: Kind) -> None:
        """An object built and added again is a repeat, though its default times differ; the first ones stay.

        If this fails: times the caller never chose are compared.
        """
        await kind.prepare(store)
        times = ("valid_from", "occurred_at", "created_at", "updated_at")
        first = without(kind.build(), *times)
        await kind.add(store, first.model_copy())
        second = without(kind.build(), *times)
        while second.valid_from == first.valid_from:
            second = without(kind.build(), *times)

        await kind.add(store, second)

        found = await kind.get(store, first.id)
        assert found.valid_from == first.valid_from

    @every_kind
    @requirement("MEMORY-004", since="1.0")
    async def test_clock_fields(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """A new row carries the store's time; of its own times only created_at, when given, survives.

        If this fails: a time is taken from the machine or from the caller.
        """
        await kind.prepare(store)
        clock.advance(seconds=60)
        given = kind.build(0, updated_at=START, recorded_at=START, created_at=START)
        default = without(kind.build(1), "created_at")
        for row in (given, default):
            await kind.add(store, row)

        found = [await kind.get(store, row.id) for row in (given, default)]

        assert [row.created_at for row in found] == [START, clock.now()]
        assert {row.updated_at for row in found} == {clock.now()}
        assert {row.recorded_at for row in found} == {clock.now()}

    @every_kind
    @requirement("MEMORY-005", since="1.0")
    async def test_update_replaces_the_whole_row(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """An update replaces every field; created_at and recorded_at stay, updated_at becomes the present.

        If this fails: fields left out keep their old values, or the times of the first save are lost.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build(0, **{kind.extra: {"old": 1}}, valid_to=START + timedelta(days=900)))
        await kind.add(store, kind.build(1))
        first = await kind.get(store, kind.build().id)
        neighbour = await kind.get(store, kind.build(1).id)
        clock.advance(seconds=60)
        changed = kind.build(0, **kind.change, created_at=clock.now(), recorded_at=clock.now())

        assert await kind.update(store, changed) == first.id

        found = await kind.get(store, first.id)
        expected = kind.build(0, **kind.change)
        expected.set_stored(
            created_at=first.created_at,
            recorded_at=first.recorded_at,
            updated_at=clock.now(),
            **({"row_version": found.row_version} if kind in VERSIONED else {}),
        )
        assert found == expected
        assert await kind.get(store, neighbour.id) == neighbour

    @every_kind
    @requirement("MEMORY-006", since="1.0")
    async def test_update_without_target(self, store: MemoryStore, kind: Kind) -> None:
        """An update of a row that is not stored is refused with NotFoundError and stores nothing.

        If this fails: the update is an upsert.
        """
        await kind.prepare(store)

        with pytest.raises(NotFoundError):
            await kind.update(store, kind.build())

        assert await kind.listed(store) == []

    @every_kind
    @requirement("MEMORY-007", since="1.0")
    async def test_group_immutable(self, store: MemoryStore, kind: Kind) -> None:
        """A row never changes its group; an update that names another one is refused.

        If this fails: an update moves rows between groups, and out of the sight of their relationships.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        before = await kind.get(store, kind.build().id)

        with pytest.raises(InvalidDataError) as refused:
            await kind.update(store, kind.build(group_id=OTHER_GROUP))

        assert refused.value.code == "group_immutable"
        assert await kind.listed(store) == [before]
        assert await kind.listed(store, OTHER_GROUP) == []

    @every_kind
    @requirement("MEMORY-008", since="1.0")
    async def test_deleted_at_refused(self, store: MemoryStore, kind: Kind) -> None:
        """deleted_at is never the caller's: neither add nor update takes a row that has it.

        If this fails: a row can be hidden without being deleted.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        before = await kind.get(store, kind.build().id)

        with pytest.raises(InvalidDataError):
            await kind.add(store, kind.build(1, deleted_at=START))
        with pytest.raises(InvalidDataError):
            await kind.update(store, kind.build(0, **kind.change, deleted_at=START))

        assert await kind.listed(store) == [before]

    @every_kind
    @requirement("MEMORY-009", since="1.0")
    async def test_delete_is_for_good(self, store: MemoryStore, kind: Kind) -> None:
        """A deleted row is gone from every read; a second delete is False; the id may be used again.

        If this fails: the row is only hidden and still takes its id, or a neighbour goes with it.
        """
        await kind.prepare(store)
        for n in range(3):
            await kind.add(store, kind.build(n))
        gone = kind.build(1)

        assert await kind.delete(store, gone.id) is True

        assert await kind.get(store, gone.id) is None
        assert {row.id for row in await kind.listed(store)} == {kind.build(0).id, kind.build(2).id}
        assert await kind.delete(store, gone.id) is False
        with pytest.raises(NotFoundError):
            await kind.update(store, gone)
        assert await kind.add(store, kind.build(1, **kind.change)) == gone.id

    @every_kind
    @requirement("MEMORY-010", since="1.0")
    async def test_concurrent_adds_store_one(self, store: MemoryStore, kind: Kind) -> None:
        """Of concurrent adds of different contents under one id exactly one is stored.

        If this fails: the check and the write are two steps.
        """
        await kind.prepare(store)
        rivals = [kind.build(0, **{kind.extra: {"n": n}}) for n in range(16)]

        results = await asyncio.gather(*(kind.add(store, row) for row in rivals), return_exceptions=True)

        assert sum(isinstance(result, DuplicateError) for result in results) == 15
        winner = next(row for row, result in zip(rivals, results, strict=True) if result == row.id)
        assert [getattr(row, kind.extra) for row in await kind.listed(store)] == [getattr(winner, kind.extra)]

    @every_kind
    @requirement("MEMORY-011", since="1.0")
    async def test_updated_and_listed_rows_are_copies(self, store: MemoryStore, kind: Kind) -> None:
        """Changing a row that was passed to an update, or returned by a list, does not change what is stored.

        If this fails: the store keeps the caller's object, or hands out its own.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        passed = kind.build(0, **{kind.extra: {"list": [1]}})
        await kind.update(store, passed)

        (listed,) = await kind.listed(store)
        for row in (passed, listed):
            getattr(row, kind.extra)["list"].append(2)

        assert getattr(await kind.get(store, listed.id), kind.extra) == {"list": [1]}

    @embedded
    @requirement("MEMORY-012", since="1.0")
    async def test_strict_spaces(self, context: BackendContext, kind: Kind) -> None:
        """With strict spaces a vector of an unregistered space is refused, on adding and on updating.

        If this fails: a misconfigured embedder fills the store with vectors no search can reach.
        """
        policy = VectorPolicy(strict_spaces=True, spaces=frozenset({("known", 3)}))
        async with self.open_store(replace(context, vector_policy=policy)) as store:
            known = {"embedding": at(1.0), "embedding_model": "known"}
            await kind.add(store, kind.build(0, **known))
            await kind.add(store, kind.build(1))
            for bad in ({**known, "embedding_model": "other"}, {**known, "embedding": [1.0, 0.0]}):
                with pytest.raises(EmbeddingSpaceError) as refused:
                    await kind.add(store, kind.build(2, **bad))
                assert refused.value.code == "space_unknown"
                with pytest.raises(EmbeddingSpaceError):
                    await kind.update(store, kind.build(0, **bad))

            assert await kind.get(store, kind.build(2).id) is None
            assert (await kind.get(store, kind.build(0).id)).embedding_model == "known"

    @requirement("MEMORY-013", since="1.0")
    async def test_group_has_one_tenant(self, trusting_store: MemoryStore) -> None:
        """Under trusting isolation a group is that of the one tenant with any row in it; several are refused.

        If this fails: each method looks for the tenant among its own kind of rows, and two calls on one group answer
        for two tenants.
        """
        store = trusting_store
        await store.add_episode(episode(0, embedding=at(1.0)))
        await store.add_entity(entity(0, THEIRS, group_id=OTHER_GROUP))
        assert [row.tenant_id for row in await store.list_episodes(GROUP)] == [OURS]
        assert [row.tenant_id for row in await store.get_entities(OTHER_GROUP)] == [THEIRS]
        assert await store.get_entities(GROUP) == []
        assert await store.list_episodes("nobody's") == []

        await store.add_entity(entity(1, THEIRS))

        for refused in (
            store.list_episodes(GROUP),
            store.get_entities(GROUP),
            store.get_relationships(GROUP),
            store.text_search_episodes("episode", GROUP),
            store.vector_search_episodes(at(1.0), GROUP),
            store.vector_search_entities(at(1.0), GROUP),
            store.traverse_from_entities([uuid4()], GROUP),
            store.delete_by_group(GROUP),
        ):
            with pytest.raises(TenantRequiredError):
                await refused
        assert len(await store.list_episodes(GROUP, tenant_id=OURS)) == 1

    @every_kind
    @requirement("MEMORY-026", since="1.0")
    async def test_validity_ends_after_it_begins(self, store: MemoryStore, kind: Kind) -> None:
        """valid_to is later than valid_from (INV-E1), in the model and in what a store takes.

        If this fails: rows are stored that are valid at no moment.
        """
        await kind.prepare(store)
        for end in (START, START - timedelta(microseconds=1)):
            with pytest.raises(ValidationError):
                kind.build(valid_to=end)
            broken = kind.build()
            broken.__dict__["valid_to"] = end
            with pytest.raises(InvalidDataError) as refused:
                await kind.add(store, broken)
            assert refused.value.code == "validity_invalid"

        await kind.add(store, kind.build(valid_to=START + timedelta(microseconds=1)))
