"""Field definitions: one per agent and name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError, InvalidDataError, StaleVersionError
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT, numbered
from focal_testkit.data.profile import OTHER_AGENT, PROFILE, START, definition, holding, item, profile
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class SchemaContract(ContractBase):
    """The field definitions."""

    @requirement("PROFILES-190", since="1.0")
    async def test_save_and_get_definition(self, store: ProfileStore, clock: ManualClock) -> None:
        """A saved definition is found by name and by id, enabled or not, of its own agent and tenant alone.

        If this fails: a lookup lacks the agent or the tenant, or leaves disabled definitions out.
        """
        given = definition(0, allowed_values=[1, 1.0, True, "1"], value_type="json", enabled=False)
        clock.advance(seconds=60)
        assert await store.save_field_definition(given) == given.id
        await store.save_field_definition(definition(1, agent_id=OTHER_AGENT))
        await store.save_field_definition(definition(2, tenant=THEIRS, description="theirs"))

        found = await store.get_field_definition(OURS, AGENT, "email")

        assert found == given
        assert found is not None
        assert (found.created_at, found.updated_at, found.row_version) == (clock.now(), clock.now(), 1)
        assert [type(value) for value in found.allowed_values or ()] == [int, float, bool, str]
        assert await store.get_field_definition_by_id(OURS, given.id) == given
        assert await store.get_field_definition_by_id(OURS, definition(2).id) is None
        assert await store.get_field_definition(OURS, AGENT, "emai") is None
        theirs = await store.get_field_definition(THEIRS, AGENT, "email")
        assert theirs is not None
        assert theirs.description == "theirs"

    @requirement("PROFILES-191", since="1.0")
    async def test_definition_unique_name(self, store: ProfileStore) -> None:
        """A name is defined once per agent: another id is DuplicateError; other agents and tenants have their own.

        If this fails: two definitions hold for one field, or the key lacks the agent or the tenant.
        """
        await store.save_field_definition(definition(0))
        await store.save_field_definition(definition(1, "phone", enabled=False))

        for name in ("email", "phone"):
            with pytest.raises(DuplicateError):
                await store.save_field_definition(definition(2, name))

        assert await store.get_field_definition_by_id(OURS, definition(2).id) is None
        await store.save_field_definition(definition(2, agent_id=OTHER_AGENT))
        await store.save_field_definition(definition(3, tenant=THEIRS))
        assert len(await store.get_field_definitions(OURS, AGENT, enabled_only=False)) == 2

    @requirement("PROFILES-192", since="1.0")
    async def test_definitions_by_name(self, store: ProfileStore) -> None:
        """An agent's definitions are listed by name in the order of code points; disabled ones only when asked for.

        If this fails: the order is that of saving or of a language, or the flag is ignored.
        """
        names = ["_c", "b10", "b5", "ab", "a_b", "b_"]
        for n, name in enumerate(names):
            await store.save_field_definition(definition(n, name, enabled=name != "b5"))
        await store.save_field_definition(definition(20, "aa", agent_id=OTHER_AGENT))
        await store.save_field_definition(definition(21, "aa", THEIRS))

        found = await store.get_field_definitions(OURS, AGENT)

        assert [one.name for one in found] == ["_c", "a_b", "ab", "b10", "b_"]
        everything = await store.get_field_definitions(OURS, AGENT, enabled_only=False)
        assert [one.name for one in everything] == sorted(names)

    @requirement("PROFILES-193", since="1.0")
    async def test_definition_update(self, store: ProfileStore, clock: ManualClock) -> None:
        """A definition saved again under its id replaces the former one; a new name frees the old one.

        If this fails: the old name still finds it or stays taken, or the first time of creation is lost.
        """
        await store.save_field_definition(definition(0, description="old"))
        created = clock.now()
        clock.advance(timedelta(hours=1))

        await store.save_field_definition(definition(0, "mail"))

        found = await store.get_field_definition(OURS, AGENT, "mail")
        assert found is not None
        assert (found.description, found.created_at, found.updated_at) == (None, created, clock.now())
        assert found.row_version == 2
        assert await store.get_field_definition(OURS, AGENT, "email") is None
        await store.save_field_definition(definition(1, "email"))
        assert len(await store.get_field_definitions(OURS, AGENT)) == 2

    @requirement("PROFILES-194", since="1.0")
    async def test_definition_stale_version(self, store: ProfileStore) -> None:
        """A save that expects another version than the stored one is refused and changes nothing.

        If this fails: of two editors the second overwrites the first unseen.
        """
        mine = definition(0)
        await store.save_field_definition(mine)
        theirs = await store.get_field_definition(OURS, AGENT, "email")
        assert theirs is not None
        mine.description = "mine"
        await store.save_field_definition(mine)
        theirs.description = "theirs"

        with pytest.raises(StaleVersionError):
            await store.save_field_definition(theirs)

        found = await store.get_field_definition(OURS, AGENT, "email")
        assert found is not None
        assert (found.description, found.row_version) == ("mine", 2)

    @requirement("PROFILES-195", since="1.0")
    async def test_delete_definition(self, store: ProfileStore) -> None:
        """A deleted definition is gone for good and its name free; fields keep their values; again is False.

        If this fails: the row is merely hidden, another agent's goes too, or values vanish with their definition.
        """
        field = item(0, field_definition_id=definition(0).id)
        await store.save_field_definition(definition(0, enabled=False))
        await store.save_field_definition(definition(1, agent_id=OTHER_AGENT))
        await store.save_field_definition(definition(0, tenant=THEIRS))
        await store.save(profile(0, fields=holding(field)))

        assert await store.delete_field_definition(OURS, AGENT, "emai") is False
        assert await store.delete_field_definition(OURS, AGENT, "email") is True
        assert await store.delete_field_definition(OURS, AGENT, "email") is False

        assert await store.get_field_definition(OURS, AGENT, "email") is None
        assert await store.get_field_definition_by_id(OURS, definition(0).id) is None
        assert await store.get_field_definitions(OURS, AGENT, enabled_only=False) == []
        kept = await store.get_field(OURS, PROFILE, "email")
        assert kept is not None
        assert (kept.value, kept.field_definition_id) == (field.value, definition(0).id)
        assert await store.get_field_definition(OURS, OTHER_AGENT, "email") is not None
        assert await store.get_field_definition(THEIRS, AGENT, "email") is not None
        await store.save_field_definition(definition(5))

    @pytest.mark.parametrize(
        "pattern", [r"(a)\1", r"(?=a)b", r"(?<!a)b", r"(", r"a)|(?:b", "a" * 513, r"(?i)\w{1,200}"]
    )
    @requirement("PROFILES-196", since="1.0")
    async def test_definition_pattern_refused(self, store: ProfileStore, pattern: str) -> None:
        """A pattern the linear-time engine cannot run, or compiles too slowly, is refused with its definition.

        If this fails: a definition is stored that no value can be checked against.
        """
        given = definition(0)
        given.__dict__["validation_regex"] = pattern

        with pytest.raises(InvalidDataError) as refused:
            await store.save_field_definition(given)

        assert refused.value.code == "pattern_invalid"

        assert await store.get_field_definition(OURS, AGENT, "email") is None

    @requirement("PROFILES-197", since="1.0")
    async def test_retention_sets_expiry(self, store: ProfileStore) -> None:
        """A field written without expiry expires after its definition's retention_days, counted from collection.

        The definition is the one the field names, or else that of the agent given; an expiry of its own stays (INV-D3).

        If this fails: personal data outlives its retention, or a definition of another agent or name is applied.
        """
        await store.save(profile(0))
        await store.save_field_definition(definition(0, "email", retention_days=40_000))
        await store.save_field_definition(definition(1, "email", agent_id=OTHER_AGENT, retention_days=50_000))
        await store.save_field_definition(definition(2, "email", THEIRS, retention_days=60_000))
        await store.save_field_definition(definition(3, "city"))
        own = START + timedelta(days=70_000)
        named: dict[str, Any] = {"field_definition_id": definition(1).id}
        collected: dict[str, Any] = {"collected_at": START}

        await store.update_field(OURS, PROFILE, item(0, **collected), agent_id=AGENT)
        await store.update_field(OURS, PROFILE, item(1, **collected, **named), agent_id=AGENT)
        await store.update_field(OURS, PROFILE, item(2, expires_at=own), agent_id=AGENT)
        await store.update_field(OURS, PROFILE, item(3), agent_id=None)
        await store.update_field(OURS, PROFILE, item(4, "city"), agent_id=AGENT)
        await store.update_field(OURS, PROFILE, item(5, field_definition_id=definition(2).id))
        for n, other in enumerate((definition(7, "phone"), definition(8, "email", enabled=False)), 7):
            other.agent_id, other.retention_days = numbered(n, kind=9), 80_000
            await store.save_field_definition(other)
            await store.update_field(OURS, PROFILE, item(n, field_definition_id=other.id))
        await store.save(profile(0, fields=holding(item(6, **collected, **named))))

        found = {
            one.value: one.expires_at
            for name in ("email", "city")
            for one in await store.get_field_history(OURS, PROFILE, name)
        }
        assert found == {
            "value 0": START + timedelta(days=40_000),
            "value 1": START + timedelta(days=50_000),
            "value 2": own,
            "value 3": None,
            "value 4": None,
            "value 5": None,
            "value 7": None,
            "value 8": None,
            "value 6": START + timedelta(days=50_000),
        }

    @requirement("PROFILES-198", since="1.1")
    async def test_list_pii_fields(self, store: ProfileStore) -> None:
        """The fields that any agent of the tenant defines as personal are listed, whether enabled or not.

        If this fails: a copy of a profile holds personal data in plain text that its keeper was not told of.
        """
        if await store.list_pii_fields(OURS) is None:
            pytest.skip("n/a: this store cannot tell, so that its profiles are taken for personal")
        await store.save_field_definition(definition(0, "city"))
        await store.save_field_definition(definition(1, "phone", is_pii=True))
        await store.save_field_definition(definition(2, "city", agent_id=OTHER_AGENT, is_pii=True, enabled=False))
        await store.save_field_definition(definition(3, "ssn", THEIRS, is_pii=True))

        assert await store.list_pii_fields(OURS) == frozenset({"city", "phone"})
        await store.save_field_definition(definition(1, "phone"))
        await store.delete_field_definition(OURS, OTHER_AGENT, "city")
        assert await store.list_pii_fields(OURS) == frozenset()
