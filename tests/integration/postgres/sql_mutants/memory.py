"""Broken statements of the memory store."""

from __future__ import annotations

from focal_testkit.mutants.sql import SqlMutant

_WALK, _TEXT = r"^WITH step_0", r"text_found AS"

MUTANTS = [
    SqlMutant(
        *(
            "get_episode_of_any_tenant",
            "memory",
            "get_episode takes no notice of the tenant.",
            ("STORE-001[get_episode]",),
        ),
        of=r"FROM focal\.episodes r .*WHERE r\.tenant_id = \$1 AND r\.id = \$2",
        old=r"WHERE r\.tenant_id = \$1",
        new="WHERE $1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("update_of_any_tenant", "memory", "An update changes rows of all tenants.", ("STORE-001[update_entity]",)),
        of=r"UPDATE focal\.entities t",
        old=r"t\.tenant_id = n\.tenant_id AND",
        new="",
    ),
    SqlMutant(
        *("delete_of_any_tenant", "memory", "A delete removes rows of all tenants.", ("STORE-001[delete_entity]",)),
        of=r"^DELETE FROM focal\.entities WHERE tenant_id = \$1 AND id",
        old=r"tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("group_of_any_tenant", "memory", "Deleting a group removes that of other tenants too.", ("MEMORY-102",)),
        of=r"^WITH relationships_gone",
        old=r"tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("group_keeps_episodes", "memory", "Deleting a group keeps its episodes.", ("MEMORY-100",)),
        of=r"^WITH relationships_gone",
        old=r"(DELETE FROM focal\.episodes WHERE )",
        new=r"\1false AND ",
    ),
    SqlMutant(
        *(
            "search_of_any_tenant",
            "memory",
            "A text search looks at all tenants.",
            ("STORE-001[text_search_episodes]",),
        ),
        of=_TEXT,
        old=r"r\.tenant_id = (\$\d+::uuid)",
        new=r"\1 IS NOT NULL",
    ),
    SqlMutant(
        *("search_of_any_group", "memory", "A text search looks at all groups.", ("MEMORY-041",)),
        of=_TEXT,
        old=r"r\.group_id = g\.label",
        new="g.label IS NOT NULL",
    ),
    SqlMutant(
        *("vectors_of_any_group", "memory", "A vector search looks at all groups.", ("MEMORY-041",)),
        of=r"focal\.episode_vectors v",
        old=r"v\.group_id = ANY \(\(SELECT searched FROM vector_query\)::text\[\]\)",
        new="true",
    ),
    SqlMutant(
        *("walk_into_any_group", "memory", "A walk leaves its group.", ("MEMORY-088",)),
        of=_WALK,
        old=r"([ex])\.group_id = \$2",
        new="$2::text IS NOT NULL",
    ),
    SqlMutant(
        *("lost_update", "memory", "An update overwrites whatever version it finds.", ("MEMORY-015", "MEMORY-019")),
        of=r"UPDATE focal\.",
        old=r"AND n\.row_version IN \(0, t\.row_version\)",
        new="",
    ),
    SqlMutant(
        *("group_changes", "memory", "An update of an entity of another group is not refused.", ("MEMORY-007",)),
        of=r"UPDATE focal\.entities t",
        old=r"AND t\.group_id = n\.group_id",
        new="",
    ),
    SqlMutant(
        *("add_overwrites", "memory", "Adding a stored id overwrites it.", ("MEMORY-002", "MEMORY-010")),
        of=r"INSERT INTO focal\.entities ",
        old=r"ON CONFLICT \(tenant_id, id\) DO NOTHING",
        new="ON CONFLICT (tenant_id, id) DO UPDATE SET name = EXCLUDED.name, attributes = EXCLUDED.attributes",
    ),
    SqlMutant(
        *("range_closed", "memory", "A time range of episodes holds its end.", ("MEMORY-022",)),
        of=r"FROM focal\.episodes r ",
        old=r"r\.occurred_at < \$5",
        new="r.occurred_at <= $5",
    ),
    SqlMutant(
        *("validity_closed", "memory", "An entity is valid at its end still.", ("MEMORY-063",)),
        of=r"FROM focal\.entities r .*ORDER BY",
        old=r"< r\.valid_to",
        new="<= r.valid_to",
    ),
    SqlMutant(
        *("invalid_is_searched", "memory", "A vector search finds what is valid no more.", ("MEMORY-039",)),
        of=r"focal\.episode_vectors v.*vector_found",
        old=r"OR (\$\d+::timestamptz) < r\.valid_to",
        new="OR true",
    ),
    SqlMutant(
        *("invalid_is_found_by_text", "memory", "A text search finds what is valid no more.", ("MEMORY-047",)),
        of=_TEXT,
        old=r"OR (\$\d+::timestamptz) < r\.valid_to",
        new="OR true",
    ),
    SqlMutant(
        *("invalid_is_walked", "memory", "A walk follows relationships that are valid no more.", ("MEMORY-089",)),
        of=_WALK,
        old=r"OR (\$\d+::timestamptz) < x\.valid_to",
        new="OR true",
    ),
    SqlMutant(
        *("earliest_first", "memory", "Episodes come from the earliest to the latest.", ("MEMORY-021",)),
        of=r"FROM focal\.episodes r .*OFFSET",
        old=r"ORDER BY r\.occurred_at DESC",
        new="ORDER BY r.occurred_at ASC",
    ),
    SqlMutant(
        *("earliest_match_first", "memory", "Of equal matches the earliest come first.", ("MEMORY-046",)),
        of=_TEXT,
        old=r"w\.score DESC, f\.occurred_at DESC",
        new="w.score DESC, f.occurred_at ASC",
    ),
    SqlMutant(
        *("any_term", "memory", "A text search finds what has any of the terms.", ("MEMORY-043",)),
        of=_TEXT,
        old=r"LIKE ALL",
        new="LIKE ANY",
    ),
    SqlMutant(
        *("search_one_short", "memory", "A text search returns a row too few.", ("MEMORY-046",)),
        of=_TEXT,
        old=r"f\.id LIMIT (\$\d+::bigint)",
        new=r"f.id LIMIT \1 - 1",
    ),
    SqlMutant(
        *("walked_twice", "memory", "A walk comes back to where it was.", ("MEMORY-081", "MEMORY-087")),
        of=_WALK,
        old=r"NOT EXISTS \(SELECT FROM step_\d b WHERE b\.id = w\.id\)",
        new="true",
    ),
    SqlMutant(
        *("walk_of_any_type", "memory", "A walk follows relationships of all types.", ("MEMORY-085",)),
        of=_WALK,
        old=r"OR x\.relation_type = ANY \(\$5::text\[\]\)",
        new="OR true",
    ),
    SqlMutant(
        *("any_way", "memory", "Of several shortest ways any is given.", ("MEMORY-086",)),
        of=_WALK,
        old=r"ORDER BY w\.id, w\.way",
        new="ORDER BY w.id, w.way DESC",
    ),
    SqlMutant(
        *("one_end_only", "memory", "Relationships are found at their start only.", ("MEMORY-071",)),
        of=r"FROM focal\.relationships r ",
        old=r" OR r\.to_entity_id = \$5",
    ),
    SqlMutant(
        *("edges_not_unique", "memory", "A relationship may be there twice.", ("MEMORY-076",)),
        schema=("ALTER TABLE focal.relationships DROP CONSTRAINT uq_relationships_edge",),
    ),
]
