from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from focal_core.base import FocalModel
from focal_core.ids import uuid7
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    FallbackAction,
    GapFillResult,
    GapFillSource,
    ItemStatus,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
    ProfileFieldSource,
    RequiredLevel,
    ScenarioFieldRequirement,
    SourceType,
    ValueType,
    VerificationLevel,
)

TENANT = UUID(int=1)
AGENT = UUID(int=2)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def field(**values: Any) -> ProfileField:
    return ProfileField(**{"name": "city", "value": "Oslo", "collected_at": NOON, **values})


def asset(**values: Any) -> ProfileAsset:
    return ProfileAsset(**{"asset_type": "passport", "storage_path": "s3://b/k", "uploaded_at": NOON, **values})


def definition(**values: Any) -> ProfileFieldDefinition:
    return ProfileFieldDefinition(**{"tenant_id": TENANT, "agent_id": AGENT, "name": "city", **values})


def requirement(**values: Any) -> ScenarioFieldRequirement:
    return ScenarioFieldRequirement(
        **{"tenant_id": TENANT, "agent_id": AGENT, "scenario_id": UUID(int=3), "field_name": "city", **values}
    )


def refusal(build: Callable[[], FocalModel]) -> str:
    """Return the error code of a construction that must be refused."""
    with pytest.raises(ValidationError) as caught:
        build()
    return caught.value.errors()[0]["type"].removeprefix("focal.")


def superseded(**values: Any) -> dict[str, Any]:
    return {"status": "superseded", "superseded_by_id": uuid7(), "superseded_at": NOON, **values}


@pytest.mark.parametrize("make", [field, asset])
def test_superseded_names_what_took_its_place_and_when(make: Callable[..., FocalModel]) -> None:
    """INV-F1: status superseded if and only if superseded_by_id and superseded_at are set."""
    make(**superseded())

    assert refusal(lambda: make(**superseded(superseded_by_id=None))) == "superseded_invalid"
    assert refusal(lambda: make(**superseded(superseded_at=None))) == "superseded_invalid"
    assert refusal(lambda: make(**superseded(status="active"))) == "superseded_invalid"
    assert refusal(lambda: make(status="superseded")) == "superseded_invalid"


@pytest.mark.parametrize("make", [field, asset])
@pytest.mark.parametrize(
    ("kind", "linked"),
    [("profile_field", True), ("profile_asset", True), ("session", False), ("tool", False), ("external", False)],
)
def test_only_items_are_named_as_source_items(make: Callable[..., FocalModel], kind: str, linked: bool) -> None:
    """INV-F2: source_item_id if and only if the type is profile_field or profile_asset."""
    make(source_item_type=kind, source_item_id=uuid7() if linked else None)

    wrong = None if linked else uuid7()
    assert refusal(lambda: make(source_item_type=kind, source_item_id=wrong)) == "lineage_invalid"
    assert refusal(lambda: make(source_item_id=uuid7())) == "lineage_invalid"


@pytest.mark.parametrize("make", [field, asset])
def test_nothing_expires_before_it_was_taken_in(make: Callable[..., FocalModel]) -> None:
    """INV-F4: expires_at lies after collected_at or uploaded_at."""
    make(expires_at=NOON + timedelta(microseconds=1))

    assert refusal(lambda: make(expires_at=NOON)) == "expiry_invalid"


@pytest.mark.parametrize(
    ("value_type", "good", "bad"),
    [
        ("string", ["", "x", "1"], [1, None, True, ["x"]]),
        ("number", [0, -1.5, 10**30], [True, "1", None]),
        ("boolean", [True, False], [1, 0, "true", None]),
        ("json", [{}, [], {"a": 1}], ["{}", 1, None]),
        ("date", ["2026-02-28", "2026-02-28T10:00:00+01:00"], ["28.02.2026", "2026-02-30", "", 20260228]),
        (
            "email",
            ["a@b.c", "first.last+tag@sub.example.org", "a@[127.0.0.1]", "é@ü.de"],
            ["@b.c", "a@b", "a@b@c.d", "a b@c.d", "a@b..c", "a@.c", "a@[", "a@[]", f"{'x' * 250}@b.cd", "a", 1],
        ),
        (
            "phone",
            ["+49 (30) 123-456", "1234", "030/1234.56", "+" + "1" * 15],
            ["123", "+1 2 3", "1" * 16, "12 34a", "++1234", "(((())))", "1234\n", "\u0661\u0662\u0663\u0664", 1234],
        ),
    ],
)
def test_a_value_is_of_its_type(value_type: str, good: list[Any], bad: list[Any]) -> None:
    """INV-F5: the value obeys the rules of its value_type."""
    for value in good:
        assert field(value=value, value_type=value_type).value == value
    for value in bad:
        assert refusal(lambda value=value: field(value=value, value_type=value_type)) == "value_type_mismatch"


def test_a_refused_assignment_leaves_a_field_as_it_was() -> None:
    """Assignments are held to the same rules as construction."""
    one = field()

    with pytest.raises(ValidationError):
        one.value = 3

    assert one.value == "Oslo"


def test_an_asset_is_named_after_its_type_unless_named() -> None:
    """The name of an asset is its asset_type by default."""
    assert asset().name == "passport"
    assert asset(name="front page").name == "front page"


def test_a_storage_path_is_kept_to_the_letter() -> None:
    """A path is no identifier: another Unicode form would name another file."""
    decomposed = "caf\u0065\u0301.pdf"

    assert asset(storage_path=decomposed).storage_path == decomposed
    assert refusal(lambda: asset(storage_path="x" * 1025)) == "text_too_long"


def test_a_checksum_has_64_hexadecimal_digits() -> None:
    """A checksum is a SHA-256 in hexadecimal."""
    assert asset(checksum="aB" * 32).checksum == "aB" * 32
    for wrong in ("a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n"):
        assert refusal(lambda wrong=wrong: asset(checksum=wrong)) == "string_pattern_mismatch"


def test_a_fields_key_is_its_name() -> None:
    """INV-P2: in fields and in field_history the key is the name."""
    CustomerProfile(tenant_id=TENANT, fields={"city": field()}, field_history={"city": [field()]})

    assert refusal(lambda: CustomerProfile(tenant_id=TENANT, fields={"town": field()})) == "field_key_mismatch"
    assert refusal(lambda: CustomerProfile(tenant_id=TENANT, field_history={"town": [field()]})) == "field_key_mismatch"


def test_a_merged_profile_is_deleted() -> None:
    """INV-P4: merged_into_id needs deleted_at."""
    CustomerProfile(tenant_id=TENANT, merged_into_id=uuid7(), deleted_at=NOON)

    assert refusal(lambda: CustomerProfile(tenant_id=TENANT, merged_into_id=uuid7())) == "merged_not_deleted"


def test_a_profile_lists_an_account_once_and_one_primary_for_each_channel() -> None:
    """INV-P3 and INV-CI1 within one profile."""

    def profile(*identities: ChannelIdentity) -> CustomerProfile:
        return CustomerProfile(tenant_id=TENANT, channel_identities=list(identities))

    def identity(user: str, channel: str = "email", primary: bool = False) -> ChannelIdentity:
        return ChannelIdentity(channel=channel, channel_user_id=user, primary=primary)

    profile(identity("a", primary=True), identity("b"), identity("a", "sms", primary=True))

    assert refusal(lambda: profile(identity("a"), identity("a"))) == "identity_duplicate"
    assert refusal(lambda: profile(identity("a", primary=True), identity("b", primary=True))) == "primary_duplicate"


def test_a_profile_lists_a_consent_and_an_asset_once() -> None:
    """Which of two versions of one id would be saved could only be guessed."""
    given, taken = Consent(consent_type="mail", granted=True), asset()
    contrary = Consent(id=given.id, consent_type="mail", granted=False)

    assert refusal(lambda: CustomerProfile(tenant_id=TENANT, consents=[given, contrary])) == "id_duplicate"
    assert refusal(lambda: CustomerProfile(tenant_id=TENANT, assets=[taken, asset(id=taken.id)])) == "id_duplicate"


def test_a_profile_counts_active_and_expired_fields() -> None:
    """active_field_count counts fields, expired_field_count the expired versions of the history."""
    expired = field(status="expired")
    profile = CustomerProfile(
        tenant_id=TENANT,
        fields={"city": field()},
        field_history={"city": [expired, field(**superseded())], "age": [field(name="age", status="expired")]},
    )

    assert profile.active_field_count == 1
    assert profile.expired_field_count == 2


def test_a_profile_survives_json() -> None:
    """A profile read back from its JSON equals itself: computed values are not part of it."""
    profile = CustomerProfile(
        tenant_id=TENANT,
        fields={"city": field(value=[1, 1.0, True, None], value_type="json")},
        assets=[asset()],
        channel_identities=[ChannelIdentity(channel="fax", channel_user_id="u")],
        consents=[Consent(consent_type="mail", granted=False, ip_address="::1")],
    )

    again = CustomerProfile.model_validate_json(profile.model_dump_json())

    assert again == profile
    assert [type(one) for one in again.fields["city"].value] == [int, float, bool, type(None)]


def test_seed_names_are_accepted_and_readable() -> None:
    """Aliases are accepted on construction and readable; writing uses canonical names."""
    one = ProfileField(field_name="city", field_value="Oslo", valid_from=NOON, valid_to=NOON + timedelta(1))
    paper = ProfileAsset(asset_type="passport", asset_reference="k", created_at=NOON)
    account = ChannelIdentity(channel="web", channel_user_id="u", is_primary=True)

    assert (one.field_name, one.field_value, one.valid_from, one.valid_to) == ("city", "Oslo", NOON, one.expires_at)
    assert (paper.asset_reference, paper.created_at) == ("k", NOON)
    assert account.is_primary
    assert "field_name" not in one.model_dump()


def test_is_orphaned_tells_the_status() -> None:
    """is_orphaned is True for orphaned items only."""
    assert field(status="orphaned").is_orphaned
    assert not field(status="expired").is_orphaned


def test_enums_read_their_aliases_and_any_letter_case() -> None:
    """Short names of sources read as the long ones; writing is canonical."""
    assert ProfileFieldSource("Extracted") is ProfileFieldSource.LLM_EXTRACTED
    assert ProfileFieldSource("inferred") is ProfileFieldSource.SYSTEM_INFERRED
    assert ProfileFieldSource("SYSTEM") is ProfileFieldSource.SYSTEM_INFERRED
    assert ItemStatus("ACTIVE") is ItemStatus.ACTIVE


def test_verification_levels_are_ranked() -> None:
    """From unverified upwards each level ranks one higher."""
    assert [level.rank for level in VerificationLevel] == [0, 1, 2, 3, 4]
    assert (
        VerificationLevel.UNVERIFIED.rank < VerificationLevel.EMAIL_VERIFIED.rank < VerificationLevel.KYC_COMPLETE.rank
    )


@pytest.mark.parametrize("name", ["City", "1st", "a b", "a" * 51, "", "city\n", "straße"])
def test_a_definition_has_a_plain_name(name: str) -> None:
    """Names of definitions are lower-case words of up to 50 characters."""
    assert refusal(lambda: definition(name=name)) == "string_pattern_mismatch"
    assert definition(name="_a1" + "b" * 47).display_name.startswith("_a1")


@pytest.mark.parametrize("pattern", ["(", "a)|(?:b", r"(?=a)", r"(a)\1", "x" * 513, r"((a{1,1000}){1,1000}){1,99}"])
def test_a_pattern_that_the_engine_refuses_is_refused_with_the_definition(pattern: str) -> None:
    """validation_regex compiles in a linear engine, by itself, and has at most 512 characters."""
    assert refusal(lambda: definition(validation_regex=pattern)) == "pattern_invalid"


def test_bounds_of_a_definition() -> None:
    """INV-D2, no empty list of allowed values, positive days; freshness 0 means never."""
    assert definition(freshness_seconds=0).freshness_seconds is None
    assert definition(freshness_seconds=1).freshness_seconds == 1
    assert definition(encryption_required=True, is_pii=True).encryption_required
    assert refusal(lambda: definition(encryption_required=True)) == "encryption_without_pii"
    assert refusal(lambda: definition(allowed_values=[])) == "too_short"
    assert refusal(lambda: definition(retention_days=0)) == "greater_than_equal"
    assert refusal(lambda: definition(freshness_seconds=-1)) == "greater_than_equal"


def test_bounds_of_a_requirement() -> None:
    """INV-Q2 and INV-Q3; an extracted value needs 0.85 by default."""
    assert requirement().extraction_confidence == 0.85
    requirement(fallback_action=FallbackAction.SKIP, required_level=RequiredLevel.SOFT)

    assert refusal(lambda: requirement(fallback_action=FallbackAction.SKIP)) == "skip_needs_soft"
    assert refusal(lambda: requirement(depends_on_fields=["name", "city"])) == "depends_on_itself"


def test_a_filled_result_has_a_source_and_no_errors() -> None:
    """INV-G1, on assignment too."""
    result = GapFillResult(field_name="city", filled=True, value="Oslo", source=GapFillSource.SESSION)

    assert refusal(lambda: GapFillResult(field_name="city", filled=True)) == "filled_invalid"
    with pytest.raises(ValidationError):
        result.validation_errors = ["wrong"]
    assert result.validation_errors == []


def test_defaults_of_a_field() -> None:
    """A field that only has a name and a value is an unverified string the customer gave."""
    one = ProfileField(name="city", value="Oslo")

    assert (one.value_type, one.source, one.status) == (
        ValueType.STRING,
        ProfileFieldSource.USER_PROVIDED,
        ItemStatus.ACTIVE,
    )
    assert (one.verified, one.confidence, one.source_item_type) == (False, 1.0, None)
    assert SourceType("SESSION") is SourceType.SESSION
