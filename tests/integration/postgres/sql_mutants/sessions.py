"""Broken statements of the session store."""

from __future__ import annotations

from focal_testkit.mutants.sql import SqlMutant

_UPDATE = r"^UPDATE focal\.sessions"

MUTANTS = [
    SqlMutant(
        *("get_of_any_tenant", "sessions", "get takes no notice of the tenant.", ("STORE-001[get]",)),
        of=r"^SELECT .*FROM focal\.sessions r WHERE r\.tenant_id = \$1 AND r\.session_id = \$2",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("delete_of_any_tenant", "sessions", "delete takes no notice of the tenant.", ("STORE-001[delete]",)),
        of=r"^DELETE FROM focal\.sessions r WHERE r\.tenant_id = \$1",
        old=r"r\.tenant_id = \$1",
        new="$1::uuid IS NOT NULL",
    ),
    SqlMutant(
        *("save_of_any_tenant", "sessions", "save takes no notice of the tenant.", ("SESSIONS-019",)),
        of=_UPDATE,
        old=r"t\.tenant_id = s\.tenant_id AND",
        new="",
    ),
    SqlMutant(
        *("lost_update", "sessions", "A save overwrites whatever is stored.", ("SESSIONS-011", "SESSIONS-013")),
        of=_UPDATE,
        old=r"AND t\.version = s\.expected",
        new="",
    ),
    SqlMutant(
        *("create_overwrites", "sessions", "A first save overwrites what is stored.", ("SESSIONS-012",)),
        of=r"^INSERT INTO focal\.sessions .*version = 1 WHERE",
        old=r"WHERE t\.expires_at <= EXCLUDED\.last_activity_at",
        new="",
    ),
    SqlMutant(
        *("created_at_changes", "sessions", "A save may say another created_at.", ("SESSIONS-004",)),
        of=_UPDATE,
        old=r"t\.created_at = s\.created_at\)",
        new="true)",
    ),
    SqlMutant(
        *("agent_changes", "sessions", "A save may name another agent.", ("SESSIONS-004",)),
        of=_UPDATE,
        old=r"AND t\.agent_id = s\.agent_id",
        new="",
    ),
    SqlMutant(
        *("closed_opens", "sessions", "A closed session takes another status.", ("SESSIONS-005",)),
        of=_UPDATE,
        old=r"AND \(t\.status <> 'closed' OR s\.status = 'closed'\)",
        new="",
    ),
    SqlMutant(
        *("expired_is_saved", "sessions", "An expired session is saved on.", ("SESSIONS-043",)),
        of=_UPDATE,
        old=r"AND t\.expires_at > s\.last_activity_at",
        new="",
    ),
    SqlMutant(
        *("expired_is_found", "sessions", "get returns expired sessions.", ("SESSIONS-043",)),
        of=r"^SELECT .*FROM focal\.sessions r WHERE .*r\.session_id = \$2",
        old=r"AND r\.expires_at > \$3",
        new="AND $3::timestamptz IS NOT NULL",
    ),
    SqlMutant(
        *("expiry_late", "sessions", "A session is still there at the moment it expires.", ("SESSIONS-043",)),
        of=r"^SELECT .*FROM focal\.sessions r WHERE .*r\.session_id = \$2",
        old=r"r\.expires_at > \$3",
        new="r.expires_at >= $3",
    ),
    SqlMutant(
        *("expired_is_listed", "sessions", "Expired sessions are listed.", ("SESSIONS-044",)),
        of=r"FROM focal\.sessions r WHERE .*ORDER BY .*OFFSET",
        old=r"r\.expires_at > \$3",
        new="$3::timestamptz IS NOT NULL",
    ),
    SqlMutant(
        *("no_greatest_age", "sessions", "A session that is used never grows too old.", ("SESSIONS-041",)),
        of=_UPDATE,
        old=r"LEAST\((.*?), GREATEST\(t\.created_at, '.*?'\) \+ interval '.*?'\)",
        new=r"\1",
    ),
    SqlMutant(
        *("cleanup_of_any_tenant", "sessions", "A tenant's cleanup removes everybody's sessions.", ("SESSIONS-046",)),
        of=r"DELETE FROM focal\.sessions d",
        old=r"r\.tenant_id = \$3 AND",
        new="$3::uuid IS NOT NULL AND",
    ),
    SqlMutant(
        *("cleanup_one_more", "sessions", "A cleanup removes one session more than its limit.", ("SESSIONS-045",)),
        of=r"DELETE FROM focal\.sessions d",
        old=r"LIMIT \$2",
        new="LIMIT $2::bigint + 1",
    ),
    SqlMutant(
        *("oldest_on_channel", "sessions", "The session saved first answers for a channel.", ("SESSIONS-022",)),
        of=r"r\.channel_hash = \$2",
        old=r"ORDER BY r\.last_activity_at DESC",
        new="ORDER BY r.last_activity_at",
    ),
    SqlMutant(
        *("closed_on_channel", "sessions", "Closed sessions answer for their channel.", ("SESSIONS-022",)),
        of=r"r\.channel_hash = \$2",
        old=r"AND r\.status <> 'closed'",
        new="",
    ),
    SqlMutant(
        *(
            "any_agent_on_channel",
            "sessions",
            "The sessions of all agents answer for one's channel.",
            ("SESSIONS-021",),
        ),
        of=r"r\.channel_hash = \$2",
        old=r"OR r\.agent_id = \$4",
        new="OR true",
    ),
    SqlMutant(
        *("no_tie_break_on_channel", "sessions", "Of two sessions of one instant either answers.", ("SESSIONS-022",)),
        of=r"r\.channel_hash = \$2",
        old=r"DESC, r\.session_id LIMIT 1",
        new="DESC, r.session_id DESC LIMIT 1",
    ),
    SqlMutant(
        *("oldest_first", "sessions", "Lists begin with the session saved first.", ("SESSIONS-030", "SESSIONS-033")),
        of=r"FROM focal\.sessions r WHERE .*OFFSET",
        old=r"ORDER BY r\.last_activity_at DESC",
        new="ORDER BY r.last_activity_at ASC",
    ),
    SqlMutant(
        *("forced_version", "sessions", "A forced save leaves the version as it is.", ("SESSIONS-014",)),
        of=r"^INSERT INTO focal\.sessions ",
        old=r"ELSE t\.version \+ 1 END",
        new="ELSE t.version END",
    ),
    SqlMutant(
        *("lost_update_of_several", "sessions", "Saves that share a statement overwrite.", ("SESSIONS-071",)),
        of=r"^UPDATE focal\.sessions .*unnest",
        old=r"AND t\.version = s\.expected",
        new="",
    ),
    SqlMutant(
        *("several_of_any_tenant", "sessions", "Saves that share a statement overwrite others.", ("SESSIONS-071",)),
        of=r"^UPDATE focal\.sessions .*unnest",
        old=r"t\.tenant_id = s\.tenant_id AND",
        new="",
    ),
    SqlMutant(
        *("expired_is_found_among_several", "sessions", "Shared reads find what has expired.", ("SESSIONS-071",)),
        of=r"FROM unnest.* JOIN focal\.sessions r",
        old=r"WHERE r\.expires_at > \$3",
        new="WHERE $3::timestamptz IS NOT NULL",
    ),
]
