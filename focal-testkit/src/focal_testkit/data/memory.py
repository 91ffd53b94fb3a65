"""Builders of episodes, entities and relationships with fixed ids and times, and vectors of known cosine."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from focal_core.memory.models import Entity, Episode, Relationship, Temporal
from focal_core.memory.store import MemoryStore
from focal_testkit.data.audit import numbered
from focal_testkit.data.generate import fixup
from focal_testkit.scenarios import OURS

GROUP = "session:10"
OTHER_GROUP = "session:1"
"""Another group, whose label is the beginning of the first one's."""
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUERY = [1.0, 0.0, 0.0]
"""The vector that ``at`` gives cosines to."""

_EPISODE, _ENTITY, _RELATIONSHIP = 31, 32, 33


def at(cosine: float, length: float = 1.0) -> list[float]:
    """Return a (3,) vector of a length whose cosine with ``QUERY`` is known exactly for 1, 0.8, 0.6, 0, -0.6, -1."""
    return [cosine * length, round(math.sqrt(1.0 - cosine * cosine), 12) * length, 0.0]


def episode(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Episode:
    """Return episode ``n``, a minute after episode ``n - 1``, valid since ``START``."""
    given: dict[str, Any] = {
        "id": numbered(n, _EPISODE),
        "tenant_id": tenant,
        "group_id": GROUP,
        "content": f"episode {n}",
        "occurred_at": START + timedelta(minutes=n),
        "valid_from": START,
    }
    return Episode(**{**given, **fields})


def entity(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Entity:
    """Return entity ``n``, created a minute after entity ``n - 1``, valid since ``START``."""
    given: dict[str, Any] = {
        "id": entity_id(n),
        "tenant_id": tenant,
        "group_id": GROUP,
        "name": f"entity {n}",
        "entity_type": "person",
        "created_at": START + timedelta(minutes=n),
        "valid_from": START,
    }
    return Entity(**{**given, **fields})


def entity_id(n: int) -> UUID:
    """Return the id of entity ``n``."""
    return numbered(n, _ENTITY)


def relationship(n: int = 0, start: int = 0, end: int = 1, tenant: UUID = OURS, **fields: Any) -> Relationship:
    """Return relationship ``n`` from one entity to another, created a minute after the one before."""
    given: dict[str, Any] = {
        "id": relationship_id(n),
        "tenant_id": tenant,
        "group_id": GROUP,
        "from_entity_id": entity_id(start),
        "to_entity_id": entity_id(end),
        "relation_type": "knows",
        "created_at": START + timedelta(minutes=n),
        "valid_from": START,
    }
    return Relationship(**{**given, **fields})


def relationship_id(n: int) -> UUID:
    """Return the id of relationship ``n``."""
    return numbered(n, _RELATIONSHIP)


async def store_graph(store: MemoryStore, *edges: tuple[int, int], tenant: UUID = OURS, group: str = GROUP) -> None:
    """Store relationships 0, 1, ... between entities given by number, and those entities."""
    for n in sorted({node for edge in edges for node in edge}):
        await store.add_entity(entity(n, tenant, group_id=group))
    for n, (start, end) in enumerate(edges):
        await store.add_relationship(relationship(n, start, end, tenant, group_id=group))


@fixup(Temporal)
def _valid_for_a_day(values: dict[str, Any], random: Random) -> None:
    if values.get("valid_to") is not None:
        values["valid_to"] = values["valid_from"] + timedelta(days=1)
