"""Broken statements of the profile store."""

from __future__ import annotations

from focal_testkit.mutants.sql import SqlMutant

_BY_ACCOUNT = r"SELECT k\.profile_id FROM focal\.channel_identities k"
_WRITE = r"^WITH RECURSIVE target AS MATERIALIZED .*INSERT INTO focal\.profile_fields"

MUTANTS = [
    SqlMutant(
        *(
            "account_of_any_tenant",
            "profiles",
            "An account is looked for in all tenants.",
            ("STORE-001[get_by_channel_identity]", "PROFILES-004"),
        ),
        of=_BY_ACCOUNT,
        old=r"\w+\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("asset_of_any_tenant", "profiles", "get_asset takes no notice of the tenant.", ("STORE-001[get_asset]",)),
        of=r"FROM focal\.profile_assets r WHERE r\.tenant_id = \$1 AND r\.id = \$3",
        old=r"\w\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("deleted_is_found", "profiles", "A deleted profile is found.", ("PROFILES-040",)),
        of=r"chain\.deleted_at IS NULL.*tree AS",
        old=r" AND chain\.deleted_at IS NULL",
    ),
    SqlMutant(
        *("deleted_is_listed", "profiles", "Deleted and merged profiles are listed.", ("PROFILES-010",)),
        of=r"FROM focal\.customer_profiles r WHERE r\.tenant_id = \$1 AND r\.deleted_at IS NULL",
        old=r" AND r\.deleted_at IS NULL",
    ),
    SqlMutant(
        *("merge_not_followed", "profiles", "The id of a merged profile means nothing.", ("PROFILES-170",)),
        of=r"tree AS",
        old=r"n\.id = c\.merged_into_id",
        new="false AND n.id = c.merged_into_id",
    ),
    SqlMutant(
        *("since_is_open", "profiles", "updated_since leaves out that very moment.", ("PROFILES-011",)),
        of=r"FROM focal\.customer_profiles r",
        old=r"r\.updated_at >= \$2",
        new="r.updated_at > $2",
    ),
    SqlMutant(
        *("lost_update", "profiles", "A save overwrites whatever version it finds.", ("PROFILES-022",)),
        of=r"^INSERT INTO focal\.customer_profiles AS t",
        old=r"THEN (\$\d+::bigint) IN \(0, t\.row_version\)",
        new=r"THEN \1 IS NOT NULL",
    ),
    SqlMutant(
        *("merged_is_saved", "profiles", "A merged profile is saved.", ("PROFILES-178",)),
        of=r"^INSERT INTO focal\.customer_profiles AS t",
        old=r" AND t\.merged_into_id IS NULL",
    ),
    SqlMutant(
        *("successor_not_told", "profiles", "A superseded version does not say by which.", ("PROFILES-051",)),
        of=_WRITE,
        old=r"superseded_by_id = CASE WHEN (\$\d+::boolean) THEN .*? END",
        new="superseded_by_id = NULL",
    ),
    SqlMutant(
        *("expired_is_refused", "profiles", "A version past its time is in the way of a new one.", ("PROFILES-075",)),
        of=_WRITE,
        old=r"OR r\.expires_at <= \$\d+::timestamptz\)",
        new="OR false)",
    ),
    SqlMutant(
        *("two_active", "profiles", "A name may have two active versions.", ("PROFILES-052",)),
        runs=50,
        of=_WRITE,
        old=r" ON CONFLICT \(tenant_id, profile_id, field_name\) WHERE status = 'active' DO NOTHING",
        schema=("DROP INDEX focal.uq_profile_fields_active_name",),
    ),
    SqlMutant(
        *("conflict_not_ignored", "profiles", "The loser of a race is refused.", ("PROFILES-052",)),
        runs=50,
        of=_WRITE,
        old=r" ON CONFLICT \(tenant_id, profile_id, field_name\) WHERE status = 'active' DO NOTHING",
    ),
    SqlMutant(
        *("asset_lock_dropped", "profiles", "Assets that supersede at once overlook each other.", ("PROFILES-089",)),
        runs=50,
        of=r"FOR NO KEY UPDATE",
        old=r" FOR NO KEY UPDATE( OF r)?",
    ),
    SqlMutant(
        *("oldest_version", "profiles", "A name gives its oldest version.", ("PROFILES-061", "PROFILES-081")),
        of=r"FROM focal\.profile_(fields|assets) r .*LIMIT 1",
        old=r"ORDER BY (r\.\w+) DESC, r\.id DESC LIMIT 1",
        new=r"ORDER BY \1, r.id LIMIT 1",
    ),
    SqlMutant(
        *("history_of_any_name", "profiles", "A history holds the versions of all names.", ("PROFILES-059",)),
        of=r"FROM focal\.profile_fields r .*OFFSET",
        old=r"r\.field_name = \$3",
        new="$3::text IS NOT NULL",
    ),
    SqlMutant(
        *("history_without_tie_break", "profiles", "Versions of one time come in any order.", ("PROFILES-059",)),
        of=r"FROM focal\.profile_fields r .*OFFSET",
        old=r"DESC, r\.id DESC LIMIT",
        new="DESC, r.id ASC LIMIT",
    ),
    SqlMutant(
        *("sweep_of_any_profile", "profiles", "The sweep of one profile touches all.", ("PROFILES-073",)),
        of=r"^WITH marked_profile_fields .*'expired'",
        old=r"\$3::uuid IS NULL OR",
        new="$3::uuid IS NULL OR true OR",
    ),
    SqlMutant(
        *("sweep_of_superseded", "profiles", "The sweep marks superseded versions too.", ("PROFILES-074",)),
        of=r"^WITH marked_profile_fields .*'expired'",
        old=r"r\.status = 'active' AND r\.expires_at",
        new="r.expires_at",
    ),
    SqlMutant(
        *("dependents_ignored", "profiles", "What others were derived from is deleted.", ("PROFILES-120",)),
        of=r"removed AS \(DELETE FROM",
        old=r"AND \(\$5::boolean OR .*? = 0\)",
        new="",
    ),
    SqlMutant(
        *("foreign_account_changes", "profiles", "Linking changes another profile's account.", ("PROFILES-131",)),
        of=r"^WITH target .*INSERT INTO focal\.channel_identities",
        old=r"WHERE r\.profile_id = EXCLUDED\.profile_id",
        new="",
    ),
    SqlMutant(
        *("creation_conflict", "profiles", "Who asks for an account while it is linked is refused.", ("PROFILES-143",)),
        runs=50,
        of=r"^WITH linked AS \(INSERT INTO focal\.channel_identities",
        old=r" ON CONFLICT \(tenant_id, channel, channel_user_id\) DO NOTHING",
    ),
    SqlMutant(
        *("merge_loses_assets", "profiles", "A merge leaves the assets where they were.", ("PROFILES-151",)),
        of=r"^WITH f AS \(UPDATE",
        old=r"(UPDATE focal\.profile_assets SET profile_id = \$3 WHERE )",
        new=r"\1false AND ",
    ),
    SqlMutant(
        *("two_primaries", "profiles", "After a merge two accounts are primary.", ("PROFILES-158",)),
        of=r"^WITH f AS \(UPDATE",
        old=r"AND NOT EXISTS \(SELECT FROM focal\.channel_identities o .*?AND o\.is_primary\)",
        new="",
        schema=("DROP INDEX focal.uq_channel_identities_primary",),
    ),
    SqlMutant(
        *("merge_in_parts", "profiles", "A merge is several transactions.", ("PROFILES-176",)),
        runs=50,
        of="^BEGIN",
        old="^BEGIN;?",
        new="SELECT 1;",
    ),
    SqlMutant(
        *("merge_lock_dropped", "profiles", "Merges do not wait for each other.", ("PROFILES-180",)),
        runs=50,
        of=r"r\.id IN \(\$2, \$3\) ORDER BY r\.id FOR NO KEY UPDATE",
        old=r" FOR NO KEY UPDATE",
    ),
    SqlMutant(
        *("part_of_a_save", "profiles", "A refused save has written some of its parts.", ("PROFILES-030",)),
        of="^BEGIN",
        old="^BEGIN;?",
        new="SELECT 1;",
    ),
    SqlMutant(
        *("merged_is_not_erased", "profiles", "Erasing keeps what was merged into a profile.", ("PROFILES-043",)),
        of=r"ORDER BY id FOR UPDATE",
        old=r"m\.merged_into_id = t\.id",
        new="false AND m.merged_into_id = t.id",
    ),
    SqlMutant(
        *("step_of_any_kind", "profiles", "A scenario needs what its steps need.", ("PROFILES-200",)),
        of=r"FROM focal\.scenario_field_requirements r",
        old=r"r\.step_id = \$3\)",
        new="$3::uuid IS NULL OR r.step_id = $3)",
    ),
    SqlMutant(
        *("requirements_by_name", "profiles", "Requirements come by name.", ("PROFILES-201",)),
        of=r"FROM focal\.scenario_field_requirements r",
        old=r"ORDER BY r\.collection_order, ",
        new="ORDER BY ",
    ),
    SqlMutant(
        *("external_ids_not_unique", "profiles", "Two profiles may have one external id.", ("PROFILES-007",)),
        schema=("DROP INDEX focal.uq_customer_profiles_external_id",),
    ),
    SqlMutant(
        *("removal_lock_dropped", "profiles", "A removal overlooks who derives from the item.", ("PROFILES-128",)),
        of=r"^SELECT 1 FROM focal\.profile_fields r .*FOR UPDATE",
        old=r" FOR UPDATE",
        runs=50,
    ),
    SqlMutant(
        *("source_lock_dropped", "profiles", "Who derives from an item overlooks its removal.", ("PROFILES-128",)),
        of=r"source AS MATERIALIZED",
        old=r" FOR KEY SHARE",
        runs=50,
    ),
]
