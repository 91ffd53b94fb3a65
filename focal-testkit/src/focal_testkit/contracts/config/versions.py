"""What holds for every versioned kind of configuration: optimistic locking, times, deletion and revival."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.config.store import ConfigStore
from focal_core.context import BackendContext, Limits
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import AGENT, START, agent, numbered, plan, rule, scenario, step, template, variable
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


@dataclass(frozen=True)
class _Kind:
    """A versioned model: how it is built, and its methods ``save_<name>``, ``get_<name>``, ``delete_<name>``."""

    name: str
    build: Callable[..., Any]
    text: str
    """A field without a rule of its own."""
    listed: Callable[[ConfigStore], Awaitable[list[Any]]]

    def __str__(self) -> str:
        return self.name

    def of(self, text: str, **fields: Any) -> Any:
        return self.build(5, **{self.text: text, **fields})

    async def save(self, store: ConfigStore, one: Any) -> Any:
        return await getattr(store, f"save_{self.name}")(one)

    async def get(self, store: ConfigStore) -> Any:
        return await getattr(store, f"get_{self.name}")(OURS, self.of("x").id)

    async def delete(self, store: ConfigStore) -> bool:
        deleted: bool = await getattr(store, f"delete_{self.name}")(OURS, self.of("x").id)
        return deleted


KINDS = [
    _Kind("agent", agent, "description", lambda store: store.list_agents(OURS)),
    _Kind("rule", rule, "description", lambda store: store.get_rules(OURS, AGENT)),
    _Kind("scenario", scenario, "description", lambda store: store.get_scenarios(OURS, AGENT)),
    _Kind("template", template, "content", lambda store: store.get_templates(OURS, AGENT)),
    _Kind("variable", variable, "description", lambda store: store.get_variables(OURS, AGENT)),
    _Kind("migration_plan", plan, "created_by", lambda store: store.list_migration_plans(OURS)),
]
_every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


class VersionContract(ContractBase):
    """``Versioned``, clock fields and soft deletion, for agents, rules, scenarios, templates, variables and plans."""

    @_every_kind
    @requirement("CONFIG-080", since="1.0")
    async def test_row_version_conflict(self, store: ConfigStore, kind: _Kind) -> None:
        """A save that expects another version than the stored one is refused, with both told, and writes nothing.

        If this fails: the later of two writers silently undoes the earlier one.
        """
        mine = kind.of("first")
        await kind.save(store, mine)
        other = await kind.get(store)
        setattr(other, kind.text, "second")
        await kind.save(store, other)
        setattr(mine, kind.text, "mine")

        with pytest.raises(StaleVersionError) as refused:
            await kind.save(store, mine)
        with pytest.raises(StaleVersionError) as unknown:
            await kind.save(store, kind.build(6, row_version=3))

        assert (refused.value.expected, refused.value.actual) == (1, 2)
        assert (unknown.value.expected, unknown.value.actual) == (3, 0)
        assert mine.row_version == 1
        assert await kind.listed(store) == [other]

    @_every_kind
    @requirement("CONFIG-081", since="1.0")
    async def test_row_version_zero_upserts(self, store: ConfigStore, kind: _Kind) -> None:
        """A save without an expected version inserts or replaces, whatever is stored.

        If this fails: version 0 is taken for "must be new", or a second row is made.
        """
        await kind.save(store, kind.of("neighbour", tenant=THEIRS))
        await kind.save(store, kind.of("first"))
        second = kind.of("second")

        await kind.save(store, second)

        assert second.row_version == 2
        assert await kind.listed(store) == [second]

    @_every_kind
    @requirement("CONFIG-082", since="1.0")
    async def test_row_version_advances_in_place(self, store: ConfigStore, kind: _Kind, clock: ManualClock) -> None:
        """Each save raises the version by exactly 1 and sets it, with the times, on the object passed in.

        If this fails: the caller must load the object again after every save.
        """
        one = kind.of("text", created_at=None)
        began = clock.now()
        for version in (1, 2, 3):
            returned = await kind.save(store, one)

            assert returned == one.id
            assert (one.row_version, one.created_at, one.updated_at) == (version, began, clock.now())
            assert await kind.get(store) == one
            clock.advance(seconds=1)

    @_every_kind
    @requirement("CONFIG-083", since="1.0")
    async def test_concurrent_saves_one_loses_by_version(self, store: ConfigStore, kind: _Kind) -> None:
        """Of concurrent saves that expect the same version exactly one is written; the others are refused.

        If this fails: the version is compared in one step and written in another.
        """
        await kind.save(store, kind.of("first"))
        rivals = [kind.of(f"rival {n}", row_version=1) for n in range(8)]

        results = await asyncio.gather(*(kind.save(store, one) for one in rivals), return_exceptions=True)

        won = [one for one, result in zip(rivals, results, strict=True) if result == one.id]
        assert len(won) == 1
        assert sum(isinstance(result, StaleVersionError) for result in results) == 7
        assert await kind.get(store) == won[0]

    @_every_kind
    @requirement("CONFIG-084", since="1.0")
    async def test_repeat_of_a_save_whose_reply_was_lost(self, store: ConfigStore, kind: _Kind) -> None:
        """A save that finds its own content stored one version on succeeds and changes nothing.

        If this fails: a retry after a lost reply is refused as stale.
        """
        await kind.save(store, kind.of("first"))
        sent, kept = kind.of("second", row_version=1), kind.of("second", row_version=1)
        await kind.save(store, sent)

        assert await kind.save(store, kept) == kept.id

        assert kept.row_version == 2
        assert await kind.get(store) == sent

    @_every_kind
    @requirement("CONFIG-085", since="1.0")
    async def test_times(self, store: ConfigStore, kind: _Kind, clock: ManualClock) -> None:
        """created_at is the one given with the first save, else the store's clock; updated_at is always the clock.

        If this fails: a machine's or server's clock is asked, or a later save changes created_at.
        """
        saved = clock.now()
        await kind.save(store, kind.of("first", updated_at=START))
        first = await kind.get(store)
        clock.advance(seconds=60)
        await kind.save(store, kind.of("second", created_at=START + timedelta(days=9)))
        second = await kind.get(store)

        assert (first.created_at, first.updated_at) == (START + timedelta(minutes=5), saved)
        assert (second.created_at, second.updated_at) == (START + timedelta(minutes=5), clock.now())

    @_every_kind
    @requirement("CONFIG-086", since="1.0")
    async def test_deleted_is_gone_from_every_read(self, store: ConfigStore, kind: _Kind) -> None:
        """A deleted row is neither found by its id nor listed; its neighbours stay.

        If this fails: one of the reads does not ask for deleted_at.
        """
        await kind.save(store, kind.of("mine"))
        await kind.save(store, kind.build(6))
        theirs = kind.of("theirs", tenant=THEIRS)
        await kind.save(store, theirs)

        assert await kind.delete(store) is True

        assert await kind.get(store) is None
        assert [one.id for one in await kind.listed(store)] == [kind.build(6).id]
        assert await getattr(store, f"get_{kind.name}")(THEIRS, theirs.id) == theirs

    @_every_kind
    @requirement("CONFIG-087", since="1.0")
    async def test_delete_twice_false(self, store: ConfigStore, kind: _Kind) -> None:
        """Deleting what is not there, or no longer, returns False.

        If this fails: delete counts matches instead of changes.
        """
        await kind.save(store, kind.of("theirs", tenant=THEIRS))
        assert await kind.delete(store) is False
        await kind.save(store, kind.of("mine"))

        assert await kind.delete(store) is True
        assert await kind.delete(store) is False

    @_every_kind
    @requirement("CONFIG-088", since="1.0")
    async def test_revive_rules(self, store: ConfigStore, kind: _Kind) -> None:
        """A deleted id is refused unless deleted_at=None and the deleted row's row_version are both given.

        If this fails: a save brings a deleted row back by accident, or vanishes without an error.
        """
        mine = kind.of("first")
        await kind.save(store, mine)
        loaded = await kind.get(store)
        await kind.delete(store)

        accidents = [
            mine,
            loaded,
            kind.of("plain"),
            kind.of("no version", deleted_at=None),
            kind.of("no deleted_at", row_version=1),
            kind.of("wrong version", deleted_at=None, row_version=2),
        ]
        for one in accidents:
            with pytest.raises(ConflictError):
                await kind.save(store, one)
        assert await kind.get(store) is None

        revived = kind.of("back", deleted_at=None, row_version=1)
        await kind.save(store, revived)

        assert revived.row_version == 2
        assert await kind.listed(store) == [revived]

    @_every_kind
    @requirement("CONFIG-089", since="1.0")
    async def test_revived_row_is_like_any_other(self, store: ConfigStore, kind: _Kind) -> None:
        """What was revived can be deleted again, and an object read before that does not revive it.

        If this fails: having been revived once sticks to the row.
        """
        await kind.save(store, kind.of("first"))
        await kind.delete(store)
        await kind.save(store, kind.of("back", deleted_at=None, row_version=1))
        loaded = await kind.get(store)

        assert await kind.delete(store) is True

        with pytest.raises(ConflictError):
            await kind.save(store, loaded)
        assert await kind.get(store) is None

    @_every_kind
    @requirement("CONFIG-090", since="1.0")
    async def test_deleted_at_is_the_stores(self, store: ConfigStore, kind: _Kind) -> None:
        """A model with deleted_at set is refused; only the delete method deletes.

        If this fails: a save stores a row that no read shows.
        """
        with pytest.raises(InvalidDataError):
            await kind.save(store, kind.of("gone", deleted_at=START))

        assert await kind.listed(store) == []

    @requirement("CONFIG-091", since="1.0")
    async def test_limits(self, context: BackendContext) -> None:
        """Text, documents and lists up to the configured limits are stored, longer ones refused, at every depth.

        If this fails: the backend's own limits decide, or parts within a model are not looked at.
        """
        limits = Limits(text_chars=50, document_bytes=20, metadata_bytes=30, list_items=3)
        text, config, metadata = "x" * 50, {"k": "x" * 12}, {"k": "x" * 22}
        ids = [numbered(n) for n in range(4)]
        async with self.open_store(replace(context, limits=limits)) as store:
            fits = rule(0, action_text=text, action_config=config, attached_template_ids=ids[:3])
            deep = scenario(0, steps=[step(1, description=text, metadata=metadata, rule_ids=ids[:3])])
            await store.save_rule(fits)
            await store.save_scenario(deep)

            for fields in (
                {"action_text": text + "x"},
                {"action_config": {"k": "x" * 13}},
                {"attached_template_ids": ids},
            ):
                with pytest.raises(InvalidDataError):
                    await store.save_rule(rule(1, **fields))
            for fields in ({"description": text + "x"}, {"metadata": {"k": "x" * 23}}, {"rule_ids": ids}):
                with pytest.raises(InvalidDataError):
                    await store.save_scenario(scenario(1, steps=[step(1, **fields)]))

            assert await store.get_rules(OURS, AGENT) == [fits]
            assert await store.get_scenarios(OURS, AGENT) == [deep]
