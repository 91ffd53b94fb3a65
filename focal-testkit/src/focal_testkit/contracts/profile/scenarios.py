"""One runnable example of every profile method."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.profile.models import (
    CustomerProfile,
    OnDependents,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
    VerificationLevel,
)
from focal_core.profile.store import ProfileStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.profile import (
    LAPSED,
    OTHER,
    PROFILE,
    SCENARIO,
    START,
    STEP,
    USER,
    asset,
    asset_id,
    consent,
    definition,
    derived,
    field_id,
    holding,
    identity,
    item,
    needs,
    profile,
    profile_id,
)
from focal_testkit.scenarios import Listing, Scenarios, Stored

DONOR = profile_id(2)
"""A profile that is erased, so that what was derived from it has lost its source."""


async def _add_profile(store: ProfileStore, tenant: UUID, n: int) -> UUID:
    return await store.save(profile(n, tenant))


async def _add_version(store: ProfileStore, tenant: UUID, n: int) -> UUID:
    await store.save(profile(tenant=tenant))
    return await store.update_field(tenant, PROFILE, item(n))


async def _add_definition(store: ProfileStore, tenant: UUID, n: int) -> UUID:
    return await store.save_field_definition(definition(n, f"field_{n:02}", tenant))


async def _get_requirement(store: ProfileStore, one: ScenarioFieldRequirement) -> ScenarioFieldRequirement | None:
    found = await store.get_scenario_requirements(one.tenant_id, one.scenario_id, step_id=one.step_id)
    return next((row for row in found if row.id == one.id), None)


class ProfileScenarios(Scenarios):
    """A full profile, one to merge into it, and a definition and requirements of one agent."""

    store_class = ProfileStore
    creates = frozenset({"save", "get_or_create", "save_field_definition", "save_scenario_requirement"})
    stored = (
        Stored(
            CustomerProfile,
            save=lambda store, one: store.save(one),
            get=lambda store, one: store.get_by_id(one.tenant_id, one.id),
            unset=frozenset({"deleted_at", "row_version", "merged_into_id", "field_history", "asset_history"}),
            clock_within={
                "channel_identities": frozenset({"created_at"}),
                "fields": frozenset({"updated_at"}),
                "consents": frozenset({"created_at"}),
            },
        ),
        Stored(
            ProfileFieldDefinition,
            save=lambda store, one: store.save_field_definition(one),
            get=lambda store, one: store.get_field_definition_by_id(one.tenant_id, one.id),
            unset=frozenset({"deleted_at", "row_version"}),
        ),
        Stored(
            ScenarioFieldRequirement,
            save=lambda store, one: store.save_scenario_requirement(one),
            get=_get_requirement,
            unset=frozenset({"deleted_at"}),
        ),
    )
    listings = (
        Listing(
            "list_profiles",
            add=_add_profile,
            fetch=lambda store, tenant, **paging: store.list_profiles(tenant, **paging),
            other=lambda store, tenant, **paging: store.list_profiles(tenant, updated_since=START, **paging),
            remove=lambda store, tenant, row: store.delete(tenant, row.id),
        ),
        Listing(
            "get_field_history",
            add=_add_version,
            fetch=lambda store, tenant, **paging: store.get_field_history(tenant, PROFILE, "email", **paging),
            reverse=True,
            optional_limit=True,
            other=lambda store, tenant, **paging: store.get_field_history(tenant, PROFILE, "phone", **paging),
            remove=lambda store, tenant, row: store.delete_field(tenant, PROFILE, row.id),
        ),
        Listing(
            "get_field_definitions",
            add=_add_definition,
            fetch=lambda store, tenant, **paging: store.get_field_definitions(tenant, AGENT, **paging),
            optional_limit=True,
            other=lambda store, tenant, **paging: store.get_field_definitions(
                tenant, AGENT, enabled_only=False, **paging
            ),
            remove=lambda store, tenant, row: store.delete_field_definition(tenant, AGENT, row.name),
        ),
    )

    @classmethod
    def methods(cls) -> list[str]:
        """Return the abstract methods and the one with a default."""
        return sorted({*super().methods(), "get_missing_fields"})

    async def seed(self, store: ProfileStore, tenant_id: UUID) -> CustomerProfile:
        """Store the world; what differs between tenants is the values."""
        source, source_asset = item(1, value=f"{tenant_id}@example.org"), asset(0, metadata={"of": str(tenant_id)})
        lost = item(9, "donated")
        await store.save(profile(2, tenant_id, fields=holding(lost)))
        await store.save(
            profile(
                tenant=tenant_id,
                external_id="customer-1",
                channel_identities=[identity(0)],
                fields=holding(
                    item(0, value="old"), item(2, "plan", expires_at=LAPSED), derived(3, lost), item(4, "city")
                ),
                assets=[source_asset, asset(1, "photo")],
                consents=[consent(0)],
            )
        )
        await store.update_field(tenant_id, PROFILE, source)
        await store.update_field(tenant_id, PROFILE, derived(5, source))
        await store.save(profile(1, tenant_id, channel_identities=[identity(1)], fields=holding(item(6, "phone"))))
        await store.erase_profile(tenant_id, DONOR)
        await store.save_field_definition(definition(0, tenant=tenant_id, description=str(tenant_id)))
        await store.save_scenario_requirement(needs(0, "birthday", tenant_id, when_condition=str(tenant_id)))
        await store.save_scenario_requirement(needs(1, "birthday", tenant_id, step_id=STEP))
        found = await store.get_by_id(tenant_id, PROFILE)
        assert found is not None
        return found

    async def snapshot(self, store: ProfileStore, tenant_id: UUID) -> Any:
        """Return the profiles with their histories, the definitions, the requirements and the counts."""
        profiles = [
            await store.get_by_id(tenant_id, one.id, include_history=True)
            for one in await store.list_profiles(tenant_id, limit=1000)
        ]
        rows = [
            *[one for one in profiles if one is not None],
            *await store.get_field_definitions(tenant_id, AGENT, enabled_only=False),
            *await store.get_scenario_requirements(tenant_id, SCENARIO, step_id=STEP),
        ]
        dumps = [row.model_dump(mode="json", exclude={"row_version"}) for row in rows]
        counts = await store.count_fields_by_status(tenant_id)
        return dumps, {status: count for status, count in counts.items() if count}

    async def get_by_customer_id(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded profile."""
        return await store.get_by_customer_id(tenant, world.customer_id)

    async def get_by_id(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded profile."""
        return await store.get_by_id(tenant, PROFILE, include_history=True)

    async def get_by_channel_identity(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded profile."""
        return await store.get_by_channel_identity(tenant, Channel.WEBCHAT, f"{USER}0")

    async def get_by_external_id(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded profile."""
        return await store.get_by_external_id(tenant, "customer-1")

    async def get_or_create(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded profile, or create one."""
        return await store.get_or_create(tenant, Channel.WEBCHAT, f"{USER}0")

    async def save(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Save a profile of the seeded id."""
        return await store.save(profile(tenant=tenant, fields=holding(item(20, value="newest"))))

    async def delete(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Delete the seeded profile."""
        return await store.delete(tenant, PROFILE)

    async def erase_profile(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> int:
        """Erase the seeded profile."""
        return await store.erase_profile(tenant, PROFILE)

    async def list_profiles(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """List the seeded profiles."""
        return await store.list_profiles(tenant)

    async def update_field(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> UUID:
        """Write a further version."""
        return await store.update_field(tenant, PROFILE, item(21))

    async def get_field(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Read a seeded field."""
        return await store.get_field(tenant, PROFILE, "email")

    async def get_field_history(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """List the seeded versions."""
        return await store.get_field_history(tenant, PROFILE, "email")

    async def expire_stale_fields(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> int:
        """Sweep the seeded field that has expired."""
        return await store.expire_stale_fields(tenant, PROFILE)

    async def delete_field(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Delete a seeded field together with the ties of what was derived from it."""
        return await store.delete_field(tenant, PROFILE, field_id(1), on_dependents=OnDependents.ORPHAN)

    async def add_asset(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> UUID:
        """Add a further asset."""
        return await store.add_asset(tenant, PROFILE, asset(21), supersede_existing=True)

    async def get_asset(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Read a seeded asset."""
        return await store.get_asset(tenant, PROFILE, asset_id(0))

    async def get_asset_by_name(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Read a seeded asset."""
        return await store.get_asset_by_name(tenant, PROFILE, "passport")

    async def delete_asset(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Delete a seeded asset."""
        return await store.delete_asset(tenant, PROFILE, asset_id(0))

    async def get_derivation_chain(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Read the chain of the derived field."""
        return await store.get_derivation_chain(tenant, field_id(5), "profile_field")

    async def get_derived_items(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the derived field."""
        return await store.get_derived_items(tenant, field_id(1))

    async def check_has_dependents(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Ask for the derived field."""
        return await store.check_has_dependents(tenant, field_id(1))

    async def mark_orphaned_items(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> int:
        """Mark the field whose source was erased."""
        return await store.mark_orphaned_items(tenant, PROFILE)

    async def link_channel(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Link a further identity."""
        return await store.link_channel(tenant, PROFILE, identity(7))

    async def unlink_channel(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Unlink the seeded identity."""
        return await store.unlink_channel(tenant, PROFILE, Channel.WEBCHAT, f"{USER}0")

    async def merge_profiles(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Merge the seeded profiles."""
        return await store.merge_profiles(tenant, source_profile_id=OTHER, target_profile_id=PROFILE)

    async def record_consent(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> UUID:
        """Record a further consent."""
        return await store.record_consent(tenant, PROFILE, consent(7))

    async def set_verification_level(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> str:
        """Raise the level; the method returns nothing, so a profile that is missing must be an error."""
        await store.set_verification_level(tenant, PROFILE, VerificationLevel.KYC_COMPLETE)
        return "set"

    async def get_field_definitions(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """List the seeded definition."""
        return await store.get_field_definitions(tenant, AGENT)

    async def get_field_definition(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded definition."""
        return await store.get_field_definition(tenant, AGENT, "email")

    async def get_field_definition_by_id(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Find the seeded definition."""
        return await store.get_field_definition_by_id(tenant, definition().id)

    async def save_field_definition(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> UUID:
        """Save a definition of the seeded id."""
        return await store.save_field_definition(definition(0, tenant=tenant, description="rewritten"))

    async def delete_field_definition(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> bool:
        """Delete the seeded definition."""
        return await store.delete_field_definition(tenant, AGENT, "email")

    async def get_scenario_requirements(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """List the seeded requirements."""
        return await store.get_scenario_requirements(tenant, SCENARIO)

    async def save_scenario_requirement(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> UUID:
        """Save a requirement of the seeded id."""
        return await store.save_scenario_requirement(needs(0, "birthday", tenant, needs_human_review=True))

    async def delete_scenario_requirements(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> int:
        """Delete the seeded requirements."""
        return await store.delete_scenario_requirements(tenant, SCENARIO)

    async def get_missing_fields(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Ask what a profile of the caller's lacks."""
        return await store.get_missing_fields(tenant, profile(tenant=tenant), SCENARIO)

    async def count_fields_by_status(self, store: ProfileStore, tenant: UUID, world: CustomerProfile) -> Any:
        """Count the seeded fields."""
        return await store.count_fields_by_status(tenant)
