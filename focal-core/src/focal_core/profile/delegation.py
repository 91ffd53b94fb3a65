"""The base of stores that stand in front of another profile store and change a few of its methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from focal_core.context import BackendContext
from focal_core.profile.store import ProfileStore

F = TypeVar("F", bound=Callable[..., Any])


def _delegated(method: F) -> F:
    """Return a method that calls the one of this name on ``self.backend``."""
    name = method.__name__

    @functools.wraps(method, updated=())
    async def call(self: DelegatingProfileStore, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.backend, name)(*args, **kwargs)

    return cast("F", call)


class DelegatingProfileStore(ProfileStore):
    """A profile store that leaves everything to another one; subclasses override what they change.

    Args:
        backend: the store that answers.
    """

    context: BackendContext

    def __init__(self, backend: ProfileStore) -> None:
        self.backend = backend
        self.context = backend.context
        # An instance attribute: what this store can do is what that one can.
        self.capabilities = backend.capabilities  # type: ignore[misc]

    list_tenants = _delegated(ProfileStore.list_tenants)
    erase_tenant = _delegated(ProfileStore.erase_tenant)

    get_by_customer_id = _delegated(ProfileStore.get_by_customer_id)
    get_by_id = _delegated(ProfileStore.get_by_id)
    get_by_channel_identity = _delegated(ProfileStore.get_by_channel_identity)
    get_by_external_id = _delegated(ProfileStore.get_by_external_id)
    get_or_create = _delegated(ProfileStore.get_or_create)
    save = _delegated(ProfileStore.save)
    delete = _delegated(ProfileStore.delete)
    erase_profile = _delegated(ProfileStore.erase_profile)
    list_profiles = _delegated(ProfileStore.list_profiles)
    record_consent = _delegated(ProfileStore.record_consent)
    set_verification_level = _delegated(ProfileStore.set_verification_level)

    update_field = _delegated(ProfileStore.update_field)
    get_field = _delegated(ProfileStore.get_field)
    get_field_history = _delegated(ProfileStore.get_field_history)
    expire_stale_fields = _delegated(ProfileStore.expire_stale_fields)
    delete_field = _delegated(ProfileStore.delete_field)
    count_fields_by_status = _delegated(ProfileStore.count_fields_by_status)

    add_asset = _delegated(ProfileStore.add_asset)
    get_asset = _delegated(ProfileStore.get_asset)
    get_asset_by_name = _delegated(ProfileStore.get_asset_by_name)
    delete_asset = _delegated(ProfileStore.delete_asset)

    get_derivation_chain = _delegated(ProfileStore.get_derivation_chain)
    get_derived_items = _delegated(ProfileStore.get_derived_items)
    check_has_dependents = _delegated(ProfileStore.check_has_dependents)
    mark_orphaned_items = _delegated(ProfileStore.mark_orphaned_items)

    link_channel = _delegated(ProfileStore.link_channel)
    unlink_channel = _delegated(ProfileStore.unlink_channel)
    merge_profiles = _delegated(ProfileStore.merge_profiles)

    get_field_definitions = _delegated(ProfileStore.get_field_definitions)
    get_field_definition = _delegated(ProfileStore.get_field_definition)
    get_field_definition_by_id = _delegated(ProfileStore.get_field_definition_by_id)
    list_pii_fields = _delegated(ProfileStore.list_pii_fields)
    save_field_definition = _delegated(ProfileStore.save_field_definition)
    delete_field_definition = _delegated(ProfileStore.delete_field_definition)

    get_scenario_requirements = _delegated(ProfileStore.get_scenario_requirements)
    save_scenario_requirement = _delegated(ProfileStore.save_scenario_requirement)
    delete_scenario_requirements = _delegated(ProfileStore.delete_scenario_requirements)
    get_missing_fields = _delegated(ProfileStore.get_missing_fields)
