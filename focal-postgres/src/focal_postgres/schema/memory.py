"""Tables of the port ``memory``."""

from __future__ import annotations

from sqlalchemy import Column, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from focal_core.memory.models import Entity, Episode, Relationship
from focal_postgres.schema.columns import (
    columns_of,
    enum_checks,
    foreign_key,
    index,
    inverted,
    metadata,
    primary_key,
    text_type,
    unique,
)
from focal_postgres.schema.spaces import space_column, space_constraints, vector_table

_ENTITY_KEY = ("tenant_id", "group_id", "id")
_WALKED = ("id", "relation_type", "valid_from", "valid_to")

episodes = Table(
    "episodes",
    metadata,
    *columns_of(Episode, without=("embedding",)),
    space_column(),
    # Made by the store (focal_postgres.memory.text): PostgreSQL folds and splits text as the server's locale says.
    Column("content_folded", text_type(), nullable=False, server_default=text("''")),
    Column("content_tsv", TSVECTOR, nullable=False, server_default=text("''")),
    primary_key("episodes"),
    *enum_checks("episodes", Episode),
    *space_constraints("episodes"),
    index("episodes", "occurred_at", "group_id", text("occurred_at DESC"), "id"),
    index("episodes", "customer_profile_id", "customer_profile_id", where="customer_profile_id IS NOT NULL"),
    index("episodes", "session_id", "session_id", where="session_id IS NOT NULL"),
    index("episodes", "agent_id", "agent_id", where="agent_id IS NOT NULL"),
    inverted("episodes", "content_tsv"),
    inverted("episodes", "entity_ids"),
)
episode_vectors = vector_table("episode_vectors", "episodes", "group_id")

entities = Table(
    "entities",
    metadata,
    *columns_of(Entity, without=("embedding",)),
    space_column(),
    primary_key("entities"),
    *space_constraints("entities"),
    index("entities", "created_at", "group_id", "created_at", "id"),
    index("entities", "entity_type", "group_id", "entity_type", "created_at", "id"),
    index("entities", "name", "group_id", text("lower(name)")),
    # An index, not a constraint, so that it is created last: before the first ANALYZE all indexes on tenant and group
    # cost the same, PostgreSQL takes the latest, and any other would be read as a whole for each foreign key.
    unique("entities", "group_id_id", *_ENTITY_KEY[1:]),
)
entity_vectors = vector_table("entity_vectors", "entities", "group_id")

relationships = Table(
    "relationships",
    metadata,
    *columns_of(Relationship),
    primary_key("relationships"),
    foreign_key("relationships", ("tenant_id", "group_id", "from_entity_id"), "entities", _ENTITY_KEY, cascade=True),
    foreign_key("relationships", ("tenant_id", "group_id", "to_entity_id"), "entities", _ENTITY_KEY, cascade=True),
    UniqueConstraint(
        "tenant_id",
        "group_id",
        "from_entity_id",
        "to_entity_id",
        "relation_type",
        "valid_from",
        name="uq_relationships_edge",
    ),
    index("relationships", "created_at", "group_id", "created_at", "id"),
    # All that a walk looks at, so that it stays within the index.
    index("relationships", "from_entity_id", "group_id", "from_entity_id", include=("to_entity_id", *_WALKED)),
    index("relationships", "to_entity_id", "group_id", "to_entity_id", include=("from_entity_id", *_WALKED)),
)
