"""The memory port: episodes and their search, the graph of entities and relationships, whole groups."""

from __future__ import annotations

from typing import ClassVar

from focal_core.memory.store.entities import EntityStore
from focal_core.memory.store.episodes import EpisodeStore
from focal_core.memory.store.groups import GroupStore
from focal_core.memory.store.relationships import RelationshipStore
from focal_core.memory.store.search import EpisodeSearch

__all__ = ["EntityStore", "EpisodeSearch", "EpisodeStore", "GroupStore", "MemoryStore", "RelationshipStore"]


class MemoryStore(EpisodeSearch, EntityStore, RelationshipStore, GroupStore):
    """What an agent remembers, in groups of one tenant.

    A group is a label, the tenant is the boundary: rows of two tenants with one label have nothing to do with each
    other. A method that takes a group and is called without a tenant means, under trusting isolation, the one tenant
    that has any row in the group; when several have, it raises ``TenantRequiredError``.

    ``add_*`` accepts an id that is stored with the same content, as a repeat; clock fields, ``row_version`` and times
    the caller left to their defaults are no content. Deletes are physical.
    """

    port: ClassVar[str] = "memory"
