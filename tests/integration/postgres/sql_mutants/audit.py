"""Broken statements of the audit store."""

from __future__ import annotations

from focal_testkit.mutants.sql import SqlMutant

MUTANTS = [
    SqlMutant(
        *("get_turn_of_any_tenant", "audit", "get_turn takes no notice of the tenant.", ("STORE-001[get_turn]",)),
        of=r"FROM focal\.turn_records r WHERE r\.tenant_id = \$1 AND r\.id",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("turns_of_any_tenant", "audit", "The turns of a session are those of all tenants.", ("AUDIT-002",)),
        of=r"FROM focal\.turn_records r WHERE .*r\.session_id = \$2",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("events_of_any_tenant", "audit", "Events of all tenants are listed.", ("AUDIT-020",)),
        of=r"FROM focal\.audit_events r WHERE .*ORDER BY",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("range_closed", "audit", "A time range holds its end.", ("AUDIT-004", "AUDIT-024")),
        of=r"FROM focal\.(turn_records|audit_events) r",
        old=r"r\.created_at < \$",
        new="r.created_at <= $",
    ),
    SqlMutant(
        *("range_open", "audit", "A time range does not hold its start.", ("AUDIT-004", "AUDIT-024")),
        of=r"FROM focal\.(turn_records|audit_events) r",
        old=r"r\.created_at >= \$",
        new="r.created_at > $",
    ),
    SqlMutant(
        *("last_turn_first", "audit", "The turns of a session come from the last to the first.", ("AUDIT-002",)),
        of=r"FROM focal\.turn_records r ",
        old=r"ORDER BY r\.turn_number ASC",
        new="ORDER BY r.turn_number DESC",
    ),
    SqlMutant(
        *("no_tie_break", "audit", "Turns of one time come in any order.", ("AUDIT-003",)),
        of=r"FROM focal\.turn_records r ",
        old=r"ORDER BY r\.created_at ASC, r\.id ASC",
        new="ORDER BY r.created_at ASC",
    ),
    SqlMutant(
        *("offset_ignored", "audit", "An offset leaves nothing out.", ("STORE-025[list_turns_by_session]",)),
        of=r"FROM focal\.turn_records r ",
        old=r"OFFSET (\$\d+)",
        new=r"OFFSET 0 * \1::bigint",
    ),
    SqlMutant(
        *(
            "offset_beside_cursor",
            "audit",
            "A page behind a cursor leaves out its first row.",
            ("STORE-020[list_events]",),
        ),
        of=r"FROM focal\.audit_events r WHERE .*\(r\.created_at, r\.id\) >",
        old=r"OFFSET (\$\d+)",
        new=r"OFFSET 1 + \1::bigint",
    ),
    SqlMutant(
        *("repeat_is_a_conflict", "audit", "A record saved again breaks a key.", ("AUDIT-006",)),
        of=r"^INSERT INTO focal\.turn_records",
        old=r"ON CONFLICT DO NOTHING",
        new="",
    ),
    SqlMutant(
        *("record_is_overwritten", "audit", "Other content replaces a record.", ("AUDIT-006", "AUDIT-007")),
        of=r"^INSERT INTO focal\.turn_records",
        old=r"ON CONFLICT DO NOTHING",
        new="ON CONFLICT (tenant_id, id) DO UPDATE SET payload = EXCLUDED.payload, recorded_at = EXCLUDED.recorded_at",
        schema=("DROP TRIGGER refuse_change ON focal.turn_records",),
    ),
    SqlMutant(
        *("conflict_is_accepted", "audit", "Other content under a known id is accepted.", ("AUDIT-007",)),
        of=r"^INSERT INTO focal\.turn_records",
        old=r"ON CONFLICT DO NOTHING",
        new="ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = EXCLUDED.tenant_id",
        schema=("DROP TRIGGER refuse_change ON focal.turn_records",),
    ),
    SqlMutant(
        *("numbers_not_unique", "audit", "A session may have two turns of one number.", ("AUDIT-008", "AUDIT-009")),
        schema=("ALTER TABLE focal.turn_records DROP CONSTRAINT uq_turn_records_turn_number",),
    ),
    SqlMutant(
        *("purge_of_all_sessions", "audit", "A purge takes all sessions.", ("AUDIT-031", "AUDIT-033")),
        of=r"purge_audit",
        old=r"\$3\)",
        new="CASE WHEN $3::uuid[] IS NULL THEN NULL::uuid[] END)",
    ),
    SqlMutant(
        *("purge_of_all_times", "audit", "A purge takes records of all times.", ("AUDIT-031",)),
        of=r"purge_audit",
        old=r"\$2,",
        new="CASE WHEN $2::timestamptz IS NULL THEN NULL::timestamptz END,",
    ),
]
