"""What is remembered: episodes, and a graph of entities and relationships; what searches and traversals return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Self, TypedDict, TypeVar
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import Alias, Embedded, FocalModel, TenantScoped, TolerantEnum, Versioned
from focal_core.clock import utc_now
from focal_core.ids import uuid7
from focal_core.values import (
    Confidence,
    Identifier,
    Identifier100,
    Identifier500,
    JSONObject,
    RequiredText,
    UTCDateTime,
    Vector,
)

T = TypeVar("T")


class EpisodeType(TolerantEnum):
    """What kind of thing an episode tells."""

    MESSAGE = "message"
    """Something said; also read from ``turn``."""
    EVENT = "event"
    FACT = "fact"
    DOCUMENT = "document"
    SUMMARY = "summary"
    META_SUMMARY = "meta_summary"
    """A summary of summaries."""

    @classmethod
    def alias_map(cls) -> Mapping[str, str]:
        """Return alias -> value."""
        return {"turn": "message"}


class EpisodeSource(TolerantEnum):
    """Who an episode comes from."""

    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"
    EXTERNAL = "external"


class Direction(TolerantEnum):
    """Which way relationships are followed."""

    OUT = "out"
    """From ``from_entity_id`` to ``to_entity_id``."""
    IN = "in"
    """From ``to_entity_id`` to ``from_entity_id``."""
    BOTH = "both"


class Temporal(FocalModel):
    """Mix-in for two times: when something is true, and when the store learnt of it.

    Attributes:
        valid_from: first moment at which it is true; the moment of construction by default.
        valid_to: first moment at which it is true no more (half-open); None = still true.
        recorded_at: when the store first took it in; always the store's clock, kept by updates.
    """

    valid_from: UTCDateTime = Field(default_factory=utc_now)
    valid_to: UTCDateTime | None = None
    recorded_at: UTCDateTime = Field(default_factory=utc_now)

    @model_validator(mode="after")
    def _order_validity(self) -> Self:
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise PydanticCustomError("focal.validity_invalid", "valid_to must be after valid_from")
        return self

    def is_valid(self, moment: datetime) -> bool:
        """Return whether it is true at a moment: ``valid_from <= moment < valid_to``."""
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


class Episode(TenantScoped, Temporal, Embedded):
    """Something that was said, happened or is known.

    Attributes:
        id: id of the episode.
        group_id: label of the partition it belongs to (``memory.groups``); never changes.
        agent_id: the agent it belongs to, if any.
        customer_profile_id: the customer it belongs to, if any.
        session_id: the session it belongs to, if any.
        content: the text.
        episode_type: what kind of thing it tells.
        source: who it comes from.
        source_metadata: what is known of the source.
        importance: from 0.0 to 1.0.
        embedding: (dim,) vector of the content.
        embedding_model: the model that made it.
        entity_ids: entities it mentions, of the same tenant and group; not checked.
        metadata: whatever else the application wants kept.
        occurred_at: when it happened; ``valid_from`` by default. Lists are sorted by it.
    """

    id: UUID = Field(default_factory=uuid7)
    group_id: Identifier
    agent_id: UUID | None = None
    customer_profile_id: UUID | None = None
    session_id: UUID | None = None
    content: RequiredText
    episode_type: EpisodeType = EpisodeType.MESSAGE
    source: EpisodeSource = EpisodeSource.SYSTEM
    source_metadata: JSONObject = Field(default_factory=dict)
    importance: Confidence = 0.5
    embedding: Vector | None = None
    embedding_model: Identifier100 | None = None
    entity_ids: list[UUID] = Field(default_factory=list)
    metadata: JSONObject = Field(default_factory=dict)
    occurred_at: UTCDateTime = Field(default_factory=lambda data: data["valid_from"])

    content_type = Alias[EpisodeType]("episode_type")


class Entity(TenantScoped, Temporal, Versioned, Embedded):
    """A node of the graph: a person, a thing, a notion.

    Attributes:
        id: id of the entity.
        group_id: label of the partition it belongs to; never changes.
        agent_id: the agent it belongs to, if any.
        customer_profile_id: the customer it belongs to, if any.
        name: what it is called.
        entity_type: what kind of thing it is.
        canonical_name: the name that stands for all its spellings.
        attributes: what is known of it.
        embedding: (dim,) vector of the entity.
        embedding_model: the model that made it.
    """

    id: UUID = Field(default_factory=uuid7)
    group_id: Identifier
    agent_id: UUID | None = None
    customer_profile_id: UUID | None = None
    name: Identifier500
    entity_type: Identifier100
    canonical_name: Identifier500 | None = None
    attributes: JSONObject = Field(default_factory=dict)
    embedding: Vector | None = None
    embedding_model: Identifier100 | None = None


class Relationship(TenantScoped, Temporal, Versioned):
    """A directed edge of the graph; both its ends are entities of its own tenant and group.

    Attributes:
        id: id of the relationship.
        group_id: label of the partition it belongs to; never changes.
        from_entity_id: where it starts; never changes.
        to_entity_id: where it ends, possibly where it starts; never changes.
        relation_type: what the one is to the other.
        confidence: how sure it is, from 0.0 to 1.0.
        attributes: what is known of it.
    """

    id: UUID = Field(default_factory=uuid7)
    group_id: Identifier
    from_entity_id: UUID
    to_entity_id: UUID
    relation_type: Identifier100
    confidence: Confidence = 1.0
    attributes: JSONObject = Field(default_factory=dict)

    source_entity_id = Alias[UUID]("from_entity_id")
    target_entity_id = Alias[UUID]("to_entity_id")
    relationship_type = Alias[str]("relation_type")
    metadata = Alias[dict[str, Any]]("attributes")


class TraversalHit(TypedDict):
    """An entity that was reached from another one.

    Attributes:
        entity: the entity.
        distance: relationships on the shortest way there, 1 or more.
        via: those relationships, in the order they were followed from a start entity.
    """

    entity: Entity
    distance: int
    via: list[Relationship]


@dataclass(frozen=True)
class SearchHit(Generic[T]):
    """One row of a search result.

    Attributes:
        item: what was found.
        score: what the result is sorted by: the fused score of a hybrid search, else that of the one mode.
        vector_score: cosine, -1.0 to 1.0; None when the vector search did not rank it.
        text_score: 0.0 to 1.0 (``memory.search.text_score``); None when the text search did not rank it.
        rank: place in the result, from 1.
    """

    item: T
    score: float
    vector_score: float | None
    text_score: float | None
    rank: int
