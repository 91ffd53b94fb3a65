"""Profile stores that lose track of where items come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import DerivedItems, ItemStatus, LineageItem
from focal_testkit.mutants import mutant


@mutant("PROFILES-100")
class ChainsBackwards(InMemoryProfileStore):
    """Chains lead from the item to its root."""

    async def get_derivation_chain(self, *args: Any) -> list[LineageItem]:
        return (await super().get_derivation_chain(*args))[::-1]


@mutant("PROFILES-101")
class AnyItemType(InMemoryProfileStore):
    """A type that is none is taken for an unknown item."""

    async def get_derivation_chain(self, *args: Any) -> list[LineageItem]:
        try:
            return await super().get_derivation_chain(*args)
        except InvalidDataError:
            return []


@mutant("PROFILES-102")
class ChainsOfActiveItems(InMemoryProfileStore):
    """Superseded versions are left out of chains."""

    async def get_derivation_chain(self, tenant_id: UUID, *args: Any) -> list[LineageItem]:
        def superseded(one: LineageItem) -> bool:
            row = self._fields.get(tenant_id, one["id"])
            return row is not None and row.item.status is ItemStatus.SUPERSEDED

        return [one for one in await super().get_derivation_chain(tenant_id, *args) if not superseded(one)]


@mutant("PROFILES-103")
class OneLinkTooMany(InMemoryProfileStore):
    """Chains may have one link more than the policy says."""

    def __init__(self, context: BackendContext | None = None) -> None:
        given = context or BackendContext()
        depth = given.profile_policy.max_derivation_chain_depth + 1
        policy = replace(given.profile_policy, max_derivation_chain_depth=depth)
        super().__init__(replace(given, profile_policy=policy))


@mutant("PROFILES-103")
class CountsItems(InMemoryProfileStore):
    """Chains may have as many items as the policy says links."""

    def __init__(self, context: BackendContext | None = None) -> None:
        given = context or BackendContext()
        depth = given.profile_policy.max_derivation_chain_depth - 1
        policy = replace(given.profile_policy, max_derivation_chain_depth=depth)
        super().__init__(replace(given, profile_policy=policy))


@mutant("PROFILES-104", "PROFILES-105", "PROFILES-111")
class BelievesEverySource(InMemoryProfileStore):
    """Lineage is stored as it is given."""

    def check_source(self, *args: Any) -> None:
        return None


@mutant("PROFILES-106")
class SourcesMustBeStored(InMemoryProfileStore):
    """Items of one save cannot be derived from each other."""

    def check_source(self, tenant_id: UUID, profile_id: UUID, item: Any, arriving: Any = None) -> None:
        super().check_source(tenant_id, profile_id, item)


@mutant("PROFILES-107")
class RewritesLineage(InMemoryProfileStore):
    """A stored item is given another source by a later write."""

    def _prepared(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, agent_id: UUID | None) -> Any:
        row = table.get(tenant_id, item.id)
        if row is not None:
            source = {"source_item_id": item.source_item_id, "source_item_type": item.source_item_type}
            table.change(row, self.context.clock.now(), **source)
        return super()._prepared(table, tenant_id, profile_id, item, agent_id)


@mutant("PROFILES-108")
class ActiveDerivedItems(InMemoryProfileStore):
    """Derived items that are no longer active are left out."""

    async def get_derived_items(self, *args: Any) -> DerivedItems:
        found = await super().get_derived_items(*args)
        found["fields"] = [one for one in found["fields"] if one.status is ItemStatus.ACTIVE]
        return found


@mutant("PROFILES-109")
class EveryDerivedItemDepends(InMemoryProfileStore):
    """What was derived counts as a dependent whatever became of it."""

    async def check_has_dependents(self, tenant_id: UUID, item_id: UUID) -> bool:
        found = await self.get_derived_items(tenant_id, item_id)
        return bool(found["fields"] or found["assets"])


@mutant("PROFILES-109", "PROFILES-120", "PROFILES-121")
class AssetsNeverDepend(InMemoryProfileStore):
    """Only fields count as dependents."""

    def dependents(self, tenant_id: UUID, item_id: UUID) -> Iterator[tuple[Any, Any]]:
        return (found for found in super().dependents(tenant_id, item_id) if found[0] is self._fields)


@mutant("PROFILES-110")
class AlwaysTracks(InMemoryProfileStore):
    """lineage_tracking_enabled is ignored."""

    def __init__(self, context: BackendContext | None = None) -> None:
        given = context or BackendContext()
        policy = replace(given.profile_policy, lineage_tracking_enabled=True)
        super().__init__(replace(given, profile_policy=policy))


@mutant("PROFILES-111")
class TellsOfOtherTenants(InMemoryProfileStore):
    """A source of another tenant is refused as such."""

    def check_source(self, tenant_id: UUID, profile_id: UUID, item: Any, arriving: Any = None) -> None:
        if self._fields.tenants_of(item.source_item_id) - {tenant_id}:
            raise InvalidDataError("the source is another tenant's", code="source_foreign")
        super().check_source(tenant_id, profile_id, item, arriving)
