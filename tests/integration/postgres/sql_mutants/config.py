"""Broken statements of the config store."""

from __future__ import annotations

from focal_testkit.mutants.sql import SqlMutant

_SEARCH = r"vector_query.*rule_vectors"
_HIDDEN = r" AND NOT EXISTS \(SELECT FROM focal\.agents a .*?a\.deleted_at IS NOT NULL\)"

MUTANTS = [
    SqlMutant(
        *("get_rule_of_any_tenant", "config", "get_rule takes no notice of the tenant.", ("STORE-001[get_rule]",)),
        of=r"FROM focal\.rules r .*WHERE r\.tenant_id = \$1 AND r\.id = \$2",
        old=r"WHERE r\.tenant_id = \$1",
        new="WHERE $1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("get_rules_of_any_tenant", "config", "The list of rules takes no notice of the tenant.", ("CONFIG-012",)),
        of=r"FROM focal\.rules r .*r\.tenant_id = \$1 AND r\.agent_id",
        old=r"r\.tenant_id = \$1 AND",
        new="$1::uuid IS NOT NULL AND",
    ),
    SqlMutant(
        *(
            "delete_rule_of_any_tenant",
            "config",
            "delete_rule takes no notice of the tenant.",
            ("STORE-001[delete_rule]",),
        ),
        of=r"UPDATE focal\.rules r SET deleted_at",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("erase_every_tenant", "config", "Erasing a tenant removes everybody's rules.", ("STORE-008",)),
        of=r"DELETE FROM focal\.rules WHERE tenant_id = \$1",
        old=r"tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("vector_of_any_tenant", "config", "A rule is joined with the vectors of all tenants.", ("CONFIG-031",)),
        of=r"FROM focal\.rules r LEFT JOIN focal\.rule_vectors v",
        old=r"ON v\.tenant_id = r\.tenant_id AND",
        new="ON",
    ),
    SqlMutant(
        *(
            "search_of_any_tenant",
            "config",
            "A search looks at the rules of all tenants.",
            ("CONFIG-031", "STORE-001[vector_search_rules]"),
        ),
        of=_SEARCH,
        old=r"[rv]\.tenant_id = (\(SELECT tenant FROM vector_query\))",
        new=r"\1 IS NOT NULL",
    ),
    SqlMutant(
        *("hidden_by_any_tenant", "config", "A tenant's deleted agent hides another's rows.", ("CONFIG-007",)),
        of=r"FROM focal\.agents a WHERE a\.tenant_id = r\.tenant_id",
        old=r"a\.tenant_id = r\.tenant_id AND",
        new="",
    ),
    SqlMutant(
        *("lost_update", "config", "A save overwrites whatever version it finds.", ("CONFIG-080", "CONFIG-083")),
        of=r"INSERT INTO focal\.",
        old=r"THEN (\$\d+::bigint) IN \(0, t\.row_version\)",
        new=r"THEN \1 IS NOT NULL",
    ),
    SqlMutant(
        *("revived_by_a_save", "config", "A plain save brings a deleted row back.", ("CONFIG-013", "CONFIG-088")),
        of=r"INSERT INTO focal\.",
        old=r"WHEN t\.deleted_at IS NULL THEN",
        new="WHEN true THEN",
    ),
    SqlMutant(
        *("deleted_is_found", "config", "get_rule returns deleted rules.", ("CONFIG-013", "CONFIG-086")),
        of=r"FROM focal\.rules r .*r\.id = \$2 AND r\.deleted_at IS NULL",
        old=r"AND r\.deleted_at IS NULL",
        new="",
    ),
    SqlMutant(
        *("deleted_is_listed", "config", "Deleted rules are listed.", ("CONFIG-013",)),
        of=r"FROM focal\.rules r .*ORDER BY r\.priority",
        old=r"AND r\.deleted_at IS NULL",
        new="",
    ),
    SqlMutant(
        *("deleted_is_searched", "config", "A search finds deleted rules.", ("CONFIG-013", "CONFIG-024")),
        of=_SEARCH,
        old=r"AND r\.deleted_at IS NULL",
        new="",
    ),
    SqlMutant(
        *("hidden_is_listed", "config", "Templates of a deleted agent are listed.", ("CONFIG-006",)),
        of=r"FROM focal\.templates r .*ORDER BY",
        old=_HIDDEN,
    ),
    SqlMutant(
        *("hidden_is_searched", "config", "A search finds the rules of a deleted agent.", ("CONFIG-006",)),
        of=_SEARCH,
        old=r" WHERE NOT EXISTS \(SELECT FROM focal\.agents a .*?a\.deleted_at IS NOT NULL\)",
    ),
    SqlMutant(
        *("hidden_is_deleted", "config", "A hidden scenario can be deleted.", ("CONFIG-008",)),
        of=r"UPDATE focal\.scenarios r SET deleted_at",
        old=_HIDDEN,
    ),
    SqlMutant(
        *("least_priority_first", "config", "Rules come by priority from low to high.", ("CONFIG-015",)),
        of=r"FROM focal\.rules r .*ORDER BY",
        old=r"ORDER BY r\.priority DESC",
        new="ORDER BY r.priority ASC",
    ),
    SqlMutant(
        *("tie_break_flipped", "config", "Rules of one priority and time come by id descending.", ("CONFIG-015",)),
        of=r"FROM focal\.rules r .*ORDER BY",
        old=r"r\.created_at ASC, r\.id ASC",
        new="r.created_at ASC, r.id DESC",
    ),
    SqlMutant(
        *(
            "cursor_not_strict",
            "config",
            "A page begins with the last row of the one before.",
            ("STORE-020[list_agents]",),
        ),
        of=r"FROM focal\.agents r ",
        old=r"\(r\.name, r\.id\) >",
        new="(r.name, r.id) >=",
    ),
    SqlMutant(
        *(
            "page_one_short",
            "config",
            "A page reads a row too few, and so is the last one.",
            ("STORE-020[get_scenarios]",),
        ),
        of=r"FROM focal\.scenarios r ",
        old=r"LIMIT (\$\d+) OFFSET",
        new=r"LIMIT \1::bigint - 1 OFFSET",
    ),
    SqlMutant(
        *("disabled_is_listed", "config", "Disabled rules are listed unasked.", ("CONFIG-018",)),
        of=r"FROM focal\.rules r ",
        old=r"\(r\.enabled OR NOT (\$\d+)\)",
        new=r"\1::boolean IS NOT NULL",
    ),
    SqlMutant(
        *("disabled_is_searched", "config", "A search finds disabled rules.", ("CONFIG-024",)),
        of=_SEARCH,
        old=r"\(r\.enabled OR (\$\d+)\)",
        new=r"\1::boolean IS NOT NULL",
    ),
    SqlMutant(
        *("scope_id_ignored", "config", "The list of rules ignores the scope id.", ("CONFIG-011",)),
        of=r"FROM focal\.rules r .*ORDER BY r\.priority",
        old=r"OR r\.scope_id = (\$\d+::uuid)",
        new="OR true",
    ),
    SqlMutant(
        *("search_scope_ignored", "config", "A search ignores the scope id.", ("CONFIG-034",)),
        of=_SEARCH,
        old=r"OR r\.scope_id = (\$\d+::uuid)",
        new="OR true",
    ),
    SqlMutant(
        *("search_any_space", "config", "A search compares the vectors of all models.", ("CONFIG-024", "CONFIG-026")),
        of=_SEARCH,
        old=r"v\.space_id BETWEEN (\(SELECT space FROM vector_query\)) AND \1",
        new=r"\1 IS NOT NULL",
    ),
    SqlMutant(
        *("search_any_agent", "config", "A search looks at the rules of all agents.", ("CONFIG-031",)),
        of=_SEARCH,
        old=r"v\.agent_id = ANY \(\(SELECT searched FROM vector_query\)::uuid\[\]\)",
        new="true",
    ),
    SqlMutant(
        *("farthest_first", "config", "A search keeps the farthest rules.", ("CONFIG-030",)),
        of=_SEARCH,
        old=r"ORDER BY (v\.)?distance, ",
        new=r"ORDER BY \1distance DESC, ",
    ),
    SqlMutant(
        *("filter_behind_limit", "config", "A search filters the nearest rows only.", ("CONFIG-029",)),
        of=_SEARCH,
        old=r"OFFSET 0\) v (CROSS JOIN LATERAL .*? LIMIT )(\(SELECT wanted FROM vector_query\))",
        new=r"LIMIT \2) v \1\2",
    ),
    SqlMutant(
        *("old_vector_stays", "config", "A vector that was taken away is still searched.", ("CONFIG-038",)),
        of=r"INSERT INTO focal\.rule_vectors",
        old=r"d\.space_id IS DISTINCT FROM \$\d+::integer",
        new="false",
    ),
    SqlMutant(
        *("first_vector_stays", "config", "A vector is never replaced by a newer one.", ("CONFIG-038",)),
        of=r"INSERT INTO focal\.rule_vectors",
        old=r"DO UPDATE SET embedding = .*?\(EXCLUDED\.embedding, EXCLUDED\.agent_id\)",
        new="DO NOTHING",
    ),
    SqlMutant(
        *("vector_stays_behind", "config", "A rule moved to another agent is searched at the former.", ("CONFIG-038",)),
        of=r"INSERT INTO focal\.rule_vectors",
        old=r"embedding = EXCLUDED\.embedding, agent_id = EXCLUDED\.agent_id",
        new="embedding = EXCLUDED.embedding",
    ),
    SqlMutant(
        *("purge_closed", "config", "A purge takes what was archived at the very moment.", ("CONFIG-044",)),
        of=r"DELETE FROM focal\.scenario_archives",
        old=r"archived_at < \$2",
        new="archived_at <= $2",
    ),
    SqlMutant(
        *("purge_ignores_plans", "config", "A purge takes versions that plans need.", ("CONFIG-045",)),
        of=r"DELETE FROM focal\.scenario_archives",
        old=r" AND NOT EXISTS \(SELECT FROM focal\.migration_plans .*?\(from_version, to_version\)\)",
    ),
    SqlMutant(
        *("archive_conflict_ignored", "config", "Other content of an archived version is accepted.", ("CONFIG-042",)),
        of=r"INSERT INTO focal\.scenario_archives .*(\$\d+)::bytea",
        old=r"(\(\$1::uuid, .*?)(\$\d+)(::bytea\).*UNION ALL SELECT) digest",
        new=r"\1\2\3 \2::bytea",
    ),
    SqlMutant(
        *("any_status", "config", "A plan takes any status.", ("CONFIG-071", "CONFIG-076")),
        of=r"INSERT INTO focal\.migration_plans",
        old=r" AND \(EXCLUDED\.status = t\.status OR .*?\)\)\)",
    ),
    SqlMutant(
        *("deployed_is_deleted", "config", "A deployed plan is deleted though it is refused.", ("CONFIG-074",)),
        of=r"UPDATE focal\.migration_plans SET deleted_at",
        old=r"CASE status WHEN 'deployed' THEN NULL ELSE (\$3::timestamptz) END",
        new=r"\1",
    ),
    SqlMutant(
        *("oldest_plan", "config", "The oldest plan between two versions is the one in force.", ("CONFIG-072",)),
        of=r"FROM focal\.migration_plans r ",
        old=r"ORDER BY r\.created_at DESC, r\.id LIMIT 1",
        new="ORDER BY r.created_at, r.id LIMIT 1",
    ),
    SqlMutant(
        *("agent_names_not_unique", "config", "Two live agents may have one name.", ("CONFIG-002", "CONFIG-004")),
        schema=("DROP INDEX focal.uq_agents_name",),
    ),
]
