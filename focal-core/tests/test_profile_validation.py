from __future__ import annotations

import asyncio
import inspect
import logging
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError, SchemaValidationError
from focal_core.ids import uuid7
from focal_core.profile import conformance
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile, ProfileField, ProfileFieldDefinition, ProfilePolicy
from focal_core.profile.patterns import MAX_INPUT_CHARS, compile_pattern
from focal_core.profile.store import ProfileStore
from focal_core.profile.validation import SchemaValidationService, ValidatingProfileStore

TENANT = UUID(int=1)
AGENT = UUID(int=2)
OTHER_AGENT = UUID(int=3)

pytestmark = pytest.mark.asyncio


class CountingStore(DelegatingProfileStore):
    """Counts what reaches the store behind it."""

    def __init__(self, backend: ProfileStore) -> None:
        super().__init__(backend)
        self.lookups = 0
        self.reached = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def get_field_definition(
        self, tenant_id: UUID, agent_id: UUID, field_name: str
    ) -> ProfileFieldDefinition | None:
        self.lookups += 1
        found = await self.backend.get_field_definition(tenant_id, agent_id, field_name)
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        return found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> CountingStore:
    return CountingStore(InMemoryProfileStore(BackendContext(clock=clock)))


@pytest.fixture
def service(store: CountingStore) -> SchemaValidationService:
    return SchemaValidationService(store)


def field(value: Any = "Oslo", value_type: str = "string", **values: Any) -> ProfileField:
    return ProfileField(**{"name": "city", "value": value, "value_type": value_type, **values})


def definition(**values: Any) -> ProfileFieldDefinition:
    return ProfileFieldDefinition(**{"tenant_id": TENANT, "agent_id": AGENT, "name": "city", **values})


async def test_validator_bool_not_number(service: SchemaValidationService) -> None:
    """The definition's type holds, whatever type the field claims; True is no number and 1 is no boolean."""
    assert service.validate_field(field(True, "boolean"), definition(value_type="number"))
    assert service.validate_field(field(1, "number"), definition(value_type="boolean"))
    assert not service.validate_field(field(1, "number"), definition(value_type="number"))
    assert not service.validate_field(field("a@b.c"), definition(value_type="email"))


async def test_validator_fullmatch(service: SchemaValidationService) -> None:
    """A pattern matches the whole value: no rest before, behind, or on a further line."""
    letters = definition(validation_regex="[a-z]+|[0-9]{2}")

    assert not service.validate_field(field("abc"), letters)
    assert not service.validate_field(field("12"), letters)
    for wrong in ("abc<script>", "1abc", "abc\n", "12x", "123", "", "\ud800"):
        assert service.validate_field(field(wrong), letters), wrong


async def test_validator_pattern_is_for_texts_only(service: SchemaValidationService) -> None:
    """A pattern says nothing about a number."""
    assert not service.validate_field(field(5, "number"), definition(value_type="number", validation_regex="x"))


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*a){12}b", "([a-z]+)*[0-9]"])
async def test_validator_regex_linear_time(service: SchemaValidationService, pattern: str) -> None:
    """Patterns that stop a backtracking engine for years answer at once, and over-long values do not match."""
    evil = definition(validation_regex=pattern)
    started = time.thread_time()

    assert service.validate_field(field("a" * MAX_INPUT_CHARS), evil)

    assert time.thread_time() - started < 0.5


async def test_validator_matches_at_most_4096_characters(service: SchemaValidationService) -> None:
    """A value that is longer than patterns look at is refused, even if it would match."""
    letters = definition(validation_regex="a*")

    assert not service.validate_field(field("a" * 4096), letters)
    assert service.validate_field(field("a" * 4097), letters)
    assert not compile_pattern("a*").matches("a" * 4097)


async def test_validator_typed_allowed_values(service: SchemaValidationService) -> None:
    """Allowed values are compared with their types: True, 1, 1.0 and "1" are four values."""
    one = definition(value_type="number", allowed_values=[1, "a"])

    assert not service.validate_field(field(1, "number"), one)
    assert service.validate_field(field(1.0, "number"), one)
    assert service.validate_field(field("1"), definition(allowed_values=[1]))
    assert service.validate_field(field(True, "boolean"), definition(value_type="boolean", allowed_values=[1]))
    assert not service.validate_field(
        field({"b": 1, "a": [2]}, "json"), definition(value_type="json", allowed_values=[{"a": [2], "b": 1}])
    )


async def test_validator_required_verification(service: SchemaValidationService) -> None:
    """A definition that requires verification takes verified values only."""
    sure = definition(required_verification=True)

    assert service.validate_field(field(), sure)
    assert not service.validate_field(field(verified=True), sure)


async def test_validator_tells_every_violation_but_no_value(service: SchemaValidationService) -> None:
    """There is one sentence for each violation, and the customer's value is in none."""
    strict = definition(validation_regex="[0-9]+", allowed_values=["1"], required_verification=True)

    errors = service.validate_field(field("canary"), strict)

    assert len(errors) == 3
    assert "canary" not in " ".join(errors)
    assert service.violation_counts == {"regex": 1, "allowed_values": 1, "verification": 1}


async def test_validator_modes(
    service: SchemaValidationService, store: CountingStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Strict raises, warn logs and counts, disabled does not look."""
    wrong = field("x")
    strict = definition(allowed_values=["Oslo"])
    await store.save_field_definition(strict)
    with pytest.raises(SchemaValidationError) as caught:
        await service.validate_and_raise(TENANT, AGENT, wrong)
    assert (caught.value.field_name, len(caught.value.errors)) == ("city", 1)

    strict.validation_mode = "warn"  # type: ignore[assignment]
    await store.save_field_definition(strict)
    service.invalidate(TENANT, AGENT, "city")
    with caplog.at_level(logging.WARNING, "focal.profile"):
        await service.validate_and_raise(TENANT, AGENT, wrong)
        await service.validate_and_raise(TENANT, AGENT, field("Oslo"))
    assert len(caplog.records) == 1
    assert service.violation_counts == {"allowed_values": 2}
    assert service.validate_field(wrong, strict)

    strict.validation_mode = "disabled"  # type: ignore[assignment]
    await store.save_field_definition(strict)
    service.invalidate(TENANT, AGENT)
    await service.validate_and_raise(TENANT, AGENT, wrong)
    assert service.validate_field(wrong, strict) == []
    assert service.violation_counts == {"allowed_values": 3}


async def test_validator_takes_a_disabled_definition_for_none(
    service: SchemaValidationService, store: CountingStore
) -> None:
    """A definition that is not enabled judges nothing."""
    await store.save_field_definition(definition(allowed_values=["Rome"], enabled=False))

    await service.validate_and_raise(TENANT, AGENT, field())


async def test_validator_definition_refresh(
    service: SchemaValidationService, store: CountingStore, clock: ManualClock
) -> None:
    """A definition, also an absent one, is believed for the ttl and looked up again after it, or once invalidated."""
    assert await service.get_definition(TENANT, AGENT, "city") is None
    saved = definition(description="first")
    await store.save_field_definition(saved)
    assert await service.get_definition(TENANT, AGENT, "city") is None
    assert store.lookups == 1

    clock.advance(seconds=60)
    found = await service.get_definition(TENANT, AGENT, "city")
    assert found is not None
    assert found.description == "first"

    saved.description = "second"
    await store.save_field_definition(saved)
    clock.advance(seconds=59.9)
    found = await service.get_definition(TENANT, AGENT, "city")
    assert found is not None
    assert found.description == "first"

    service.invalidate(TENANT, AGENT, "town")
    service.invalidate(TENANT, OTHER_AGENT)
    service.invalidate(UUID(int=9), AGENT)
    await service.get_definition(TENANT, AGENT, "city")
    assert store.lookups == 2

    service.invalidate(TENANT, AGENT, "city")
    found = await service.get_definition(TENANT, AGENT, "city")
    assert found is not None
    assert found.description == "second"


async def test_validator_forgets_what_was_fetched_while_it_was_invalidated(
    service: SchemaValidationService, store: CountingStore
) -> None:
    """A look-up that began before an invalidation does not bring the old definition back."""
    store.gate = asyncio.Event()
    looking = asyncio.ensure_future(service.get_definition(TENANT, AGENT, "city"))
    await store.reached.wait()
    await store.save_field_definition(definition())
    service.invalidate(TENANT, AGENT, "city")
    store.gate.set()

    assert await looking is None
    assert await service.get_definition(TENANT, AGENT, "city") is not None


async def test_validator_remembers_so_many_definitions(store: CountingStore) -> None:
    """Beyond max_entries the one fetched longest ago is forgotten."""
    service = SchemaValidationService(store, max_entries=2)
    for name in ("a", "b", "c", "b", "c", "a"):
        await service.get_definition(TENANT, AGENT, name)

    assert store.lookups == 4


async def test_validator_follows_the_definition_a_field_names(
    service: SchemaValidationService, store: CountingStore
) -> None:
    """field_definition_id goes before the agent's definition, unless it is of another field or gone."""
    await store.save_field_definition(definition(allowed_values=["Rome"]))
    lenient = definition(agent_id=OTHER_AGENT, allowed_values=["Oslo"])
    await store.save_field_definition(lenient)
    elsewhere = definition(agent_id=OTHER_AGENT, name="town")
    await store.save_field_definition(elsewhere)

    await service.validate_and_raise(TENANT, AGENT, field(field_definition_id=lenient.id))
    for named in (None, elsewhere.id, uuid7()):
        with pytest.raises(SchemaValidationError):
            await service.validate_and_raise(TENANT, AGENT, field(field_definition_id=named))


async def test_a_pattern_that_takes_long_to_compile_is_refused_when_it_is_saved(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling costs at most 20 ms of processor time, judged where a definition is saved and nowhere else."""
    slow = definition(validation_regex="[a-z]{1,7}")
    await store.save_field_definition(definition(name="town", validation_regex="[a-z]{1,7}"))
    monkeypatch.setattr(conformance, "MAX_COMPILE_SECONDS", -1.0)

    with pytest.raises(InvalidDataError) as caught:
        await store.save_field_definition(slow)

    assert caught.value.code == "pattern_invalid"
    assert await store.get_field_definition(TENANT, AGENT, "city") is None


async def validating(clock: ManualClock, **policy: Any) -> tuple[ValidatingProfileStore, CustomerProfile]:
    context = BackendContext(clock=clock, profile_policy=ProfilePolicy(**policy))
    backend = InMemoryProfileStore(context)
    store = ValidatingProfileStore(backend, SchemaValidationService(backend), context.profile_policy)
    return store, await store.get_or_create(TENANT, "email", "a@b.c")


async def test_a_validating_store_refuses_what_violates_and_writes_nothing(clock: ManualClock) -> None:
    """update_field judges by the agent's definition, or by the one the field names."""
    store, profile = await validating(clock)
    await store.save_field_definition(named := definition(allowed_values=["Oslo"]))

    with pytest.raises(SchemaValidationError):
        await store.update_field(TENANT, profile.id, field("Rome"), agent_id=AGENT)
    with pytest.raises(SchemaValidationError):
        await store.update_field(TENANT, profile.id, field("Rome", field_definition_id=named.id))
    assert await store.get_field(TENANT, profile.id, "city", status=None) is None

    await store.update_field(TENANT, profile.id, field("Oslo"), agent_id=AGENT)
    await store.update_field(TENANT, profile.id, field("Rome"), agent_id=OTHER_AGENT)


async def test_a_validating_store_judges_by_the_definition_saved_last(clock: ManualClock) -> None:
    """Definitions written through the store hold from the next write on."""
    store, profile = await validating(clock)
    await store.update_field(TENANT, profile.id, field("Rome"), agent_id=AGENT)
    strict = definition(allowed_values=["Oslo"])
    assert await store.save_field_definition(strict) == strict.id
    with pytest.raises(SchemaValidationError):
        await store.update_field(TENANT, profile.id, field("Bonn"), agent_id=AGENT)

    assert await store.delete_field_definition(TENANT, AGENT, "city") is True
    assert await store.delete_field_definition(TENANT, AGENT, "city") is False

    await store.update_field(TENANT, profile.id, field("Bonn"), agent_id=AGENT)


async def test_a_strict_policy_refuses_fields_without_a_definition(clock: ManualClock) -> None:
    """Under validation_strict a field needs an enabled definition."""
    store, profile = await validating(clock, validation_strict=True)
    with pytest.raises(SchemaValidationError):
        await store.update_field(TENANT, profile.id, field(), agent_id=AGENT)
    await store.save_field_definition(definition(enabled=False))
    with pytest.raises(SchemaValidationError):
        await store.update_field(TENANT, profile.id, field(), agent_id=AGENT)
    await store.save_field_definition(definition(name="town"))

    await store.update_field(TENANT, profile.id, field(name="town"), agent_id=AGENT)


async def test_saving_a_profile_judges_new_and_edited_fields_only(clock: ManualClock) -> None:
    """What a save leaves alone is not judged: kept versions, and superseded ones of an old copy."""
    store, profile = await validating(clock, validation_strict=True)
    await store.save_field_definition(named := definition())
    await store.update_field(TENANT, profile.id, field("Rome"), agent_id=AGENT)
    old = await store.get_by_id(TENANT, profile.id)
    assert old is not None
    await store.update_field(TENANT, profile.id, field("Oslo"), agent_id=AGENT)
    kept = await store.get_by_id(TENANT, profile.id)
    assert kept is not None

    kept.external_id = "crm-1"
    await store.save(kept)
    old.row_version = 0
    old.external_id = "crm-1"
    await store.save(old)

    kept.row_version = 0
    kept.fields["city"].value = "Bonn"
    with pytest.raises(SchemaValidationError):
        await store.save(kept)
    kept.fields["city"].field_definition_id = named.id
    await store.save(kept)
    found = await store.get_field(TENANT, profile.id, "city")
    assert found is not None
    assert found.value == "Bonn"

    new = CustomerProfile(tenant_id=TENANT, fields={"town": field(name="town")})
    with pytest.raises(SchemaValidationError):
        await store.save(new)
    assert await store.get_by_id(TENANT, new.id) is None


async def test_a_validating_store_refuses_a_field_that_was_broken_from_inside(clock: ManualClock) -> None:
    """A nested value changed into something JSON cannot hold is InvalidDataError, not a crash of the comparison."""
    store, profile = await validating(clock)
    await store.save_field_definition(definition(value_type="json", allowed_values=[[1]]))
    broken = field([1], "json")
    broken.value.append(float("nan"))

    with pytest.raises(InvalidDataError):
        await store.update_field(TENANT, profile.id, broken, agent_id=AGENT)


async def test_a_named_definition_is_looked_up_again_once_anything_of_the_tenant_is_invalidated(
    service: SchemaValidationService, store: CountingStore
) -> None:
    """Definitions remembered by id, absent ones too, do not outlive an invalidation."""
    named = definition()
    assert await service.find_definition(TENANT, field(field_definition_id=named.id)) is None
    await store.save_field_definition(named)
    assert await service.find_definition(TENANT, field(field_definition_id=named.id)) is None

    service.invalidate(TENANT, AGENT, "city")
    found = await service.find_definition(TENANT, field(field_definition_id=named.id))
    assert found is not None
    assert found.id == named.id

    named.enabled = False
    await store.save_field_definition(named)
    service.invalidate(TENANT, AGENT)
    assert await service.find_definition(TENANT, field(field_definition_id=named.id)) is None


async def test_a_validating_store_takes_service_and_policy_as_given_or_from_its_backend() -> None:
    """Without a service it makes one; without a policy it follows its backend's."""
    strict = InMemoryProfileStore(BackendContext(profile_policy=ProfilePolicy(validation_strict=True)))
    profile = await strict.get_or_create(TENANT, "email", "a@b.c")
    with pytest.raises(SchemaValidationError):
        await ValidatingProfileStore(strict).update_field(TENANT, profile.id, field())
    await ValidatingProfileStore(strict, policy=ProfilePolicy()).update_field(TENANT, profile.id, field())

    service = SchemaValidationService(strict)
    await strict.save_field_definition(definition(allowed_values=["Rome"]))
    with pytest.raises(SchemaValidationError):
        await ValidatingProfileStore(strict, service).update_field(TENANT, profile.id, field(), agent_id=AGENT)
    assert service.violation_counts == {"allowed_values": 1}


async def test_saving_a_profile_judges_a_field_that_lost_its_verification(clock: ManualClock) -> None:
    """Everything a definition looks at makes a field an edited one, not the value alone."""
    store, profile = await validating(clock)
    sure, other = definition(required_verification=True), definition(agent_id=OTHER_AGENT, allowed_values=["Rome"])
    await store.save_field_definition(sure)
    await store.save_field_definition(other)
    await store.update_field(TENANT, profile.id, field(verified=True, field_definition_id=sure.id))

    for name, value in (("verified", False), ("field_definition_id", other.id)):
        changed = await store.get_by_id(TENANT, profile.id)
        assert changed is not None
        setattr(changed.fields["city"], name, value)
        with pytest.raises(SchemaValidationError):
            await store.save(changed)


async def test_a_delegating_store_passes_every_method_on() -> None:
    """Each method of the port reaches the store behind with its arguments, and its answer comes back."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    class Recorder(DelegatingProfileStore):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_") or name in {"context", "capabilities"}:
                return super().__getattribute__(name)

            async def record(*args: Any, **kwargs: Any) -> str:
                calls.append((name, args, kwargs))
                return name

            return record

    backend = InMemoryProfileStore(replace(BackendContext(), clock=ManualClock()))
    store = DelegatingProfileStore(Recorder(backend))
    methods = [
        name
        for name, _ in inspect.getmembers(ProfileStore, inspect.isfunction)
        if not name.startswith("_") and name != "for_tenant"
    ]

    for name in methods:
        assert await getattr(store, name)(1, two=2) == name

    assert calls == [(name, (1,), {"two": 2}) for name in methods]
    assert len(methods) > 35
    assert store.context is backend.context
