"""Broken scripts of the session store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.redis.lua_mutants import broken_scripts

from focal_testkit.mutants.sql import SqlMutant, Trace

_SAVE, _DELETE, _PROMOTE = "Stores a session in both", "Removes a session, or", "Puts a session into"
_DEMOTE, _COPY, _LIST, _CLEANUP = "Takes a session out of the hot", "Keeps a copy", "Walks an index", "Removes sessions"

MUTANTS = [
    SqlMutant(
        *("lost_update", "sessions", "A save overwrites whatever is stored.", ("SESSIONS-011", "SESSIONS-013")),
        of=_SAVE,
        old=r"if \(is_live and sub\(stored, 5, 12\)",
        new=r"if is_live and expected == string.rep('\\0', 8) and (sub(stored, 5, 12)",
    ),
    SqlMutant(
        *("first_save_overwrites", "sessions", "A first save overwrites what is stored.", ("SESSIONS-012",)),
        of=_SAVE,
        old=r"~= expected then",
        new=r"~= expected and expected ~= string.rep('\\0', 8) then",
    ),
    SqlMutant(
        *("gone_comes_back", "sessions", "A session that is not there is saved on.", ("SESSIONS-043",)),
        of=_SAVE,
        old=r"~= expected then",
        new="~= expected and is_live then",
    ),
    SqlMutant(
        *("beginning_changes", "sessions", "A save may say another created_at or agent.", ("SESSIONS-004",)),
        of=_SAVE,
        old=r"if opens or not same then",
        new="if opens then",
    ),
    SqlMutant(
        *("closed_opens", "sessions", "A closed session takes another status.", ("SESSIONS-005",)),
        of=_SAVE,
        old=r"if opens or not same then",
        new="if not same then",
    ),
    SqlMutant(
        *("force_is_ignored", "sessions", "A closed session cannot be opened by force.", ("SESSIONS-005",)),
        of=_SAVE,
        old=r"and forced == 0",
        new="",
    ),
    SqlMutant(
        *("saves_cold", "sessions", "A save leaves the hot tier as it was.", ("SESSIONS-002", "SESSIONS-057")),
        of=_SAVE,
        old=r"if hot > 0 then",
        new="if false then",
    ),
    SqlMutant(
        *("never_cools", "sessions", "The hot copy of a save has no time to live.", ("SESSIONS-051",)),
        of=_SAVE,
        old=r"call\('SET', KEYS\[2\], frame, 'PX', hot\)",
        new="call('SET', KEYS[2], frame)",
    ),
    SqlMutant(
        *("oldest_first", "sessions", "Indexes run from the oldest session on.", ("SESSIONS-030", "SESSIONS-033")),
        of=_SAVE,
        old=r"call\('ZADD', KEYS\[n\], score, id\)",
        new="call('ZADD', KEYS[n], -score, id)",
    ),
    SqlMutant(
        *("order_of_creation", "sessions", "A later save leaves its place in the lists.", ("SESSIONS-033",)),
        of=_SAVE,
        old=r"call\('ZADD', KEYS\[n\], score, id\)",
        new="call('ZADD', KEYS[n], 'NX', score, id)",
    ),
    SqlMutant(
        *("index_is_cut_short", "sessions", "A new entry drives the others out of an index.", ("SESSIONS-030",)),
        of=_SAVE,
        old=r"KEYS\[n\], oldest, '\+inf'\)",
        new="KEYS[n], '(' .. string.format('%.17g', score), '+inf')",
    ),
    SqlMutant(
        *("no_end_is_noted", "sessions", "Nobody learns when a session ends.", ("SESSIONS-045",)),
        of=_SAVE,
        old=r"if lives > 0 and not is_live then",
        new="if false then",
    ),
    SqlMutant(
        *("stays_hot_when_deleted", "sessions", "delete leaves the hot copy.", ("SESSIONS-026", "SESSIONS-056")),
        of=_DELETE,
        old=r"call\('DEL', KEYS\[1\], KEYS\[2\]\)",
        new="call('DEL', KEYS[1])",
    ),
    SqlMutant(
        *("stays_when_deleted", "sessions", "delete leaves the lasting copy.", ("SESSIONS-026",)),
        of=_DELETE,
        old=r"call\('DEL', KEYS\[1\], KEYS\[2\]\)",
        new="call('DEL', KEYS[2])",
    ),
    SqlMutant(
        *("deleted_is_cleaned_up", "sessions", "delete leaves the note of the end.", ("SESSIONS-026",)),
        of=_DELETE,
        old=r"removed\(KEYS\[3\], ARGV\[1\]\)",
        new="call('ZADD', KEYS[3], 0, ARGV[1])",
    ),
    SqlMutant(
        *("reads_do_not_promote", "sessions", "A read of a demoted session leaves it where it is.", ("SESSIONS-052",)),
        of=_PROMOTE,
        old=r"else call\('SET', KEYS\[2\], frame, 'PX', ARGV\[2\]\) end",
        new="end",
    ),
    SqlMutant(
        *("promotion_restarts_nothing", "sessions", "A promotion leaves the time of a hot copy.", ("SESSIONS-072",)),
        of=_PROMOTE,
        old=r"call\('PEXPIRE', key, ARGV\[2\]\)",
        new="call('PERSIST', '')",
    ),
    SqlMutant(
        *("demoted_stays_hot", "sessions", "A demotion leaves the hot copy.", ("SESSIONS-050",)),
        of=_DEMOTE,
        old=r"call\('DEL', KEYS\[2\]\)",
        new="",
    ),
    SqlMutant(
        *("older_copy_wins", "sessions", "A copy replaces a newer one.", ("SESSIONS-065",)),
        of=_COPY,
        old=r"if kept and .*? then return 0 end",
        new="",
    ),
    SqlMutant(
        *("status_is_ignored", "sessions", "A list by status is one of all.", ("SESSIONS-031",)),
        of=_LIST,
        old=r"\(status == '' or sub\(head, 4, 4\) == status\)",
        new="true",
    ),
    SqlMutant(
        *("any_agent_on_a_channel", "sessions", "All agents' sessions answer for one's channel.", ("SESSIONS-021",)),
        of=_LIST,
        old=r"\(agent == '' or sub\(head, 77, 92\) == agent\)",
        new="true",
    ),
    SqlMutant(
        *("offset_is_ignored", "sessions", "A list begins at its beginning.", ("STORE-025[list_by_agent]",)),
        of=_LIST,
        old=r"if skip > 0 then",
        new="if false then",
    ),
    SqlMutant(
        *("ties_are_skipped", "sessions", "A page skips sessions of its last one's instant.", ("STORE-020",)),
        of=_LIST,
        old=r"return ours > theirs",
        new="return false",
    ),
    SqlMutant(
        *("ties_are_repeated", "sessions", "A page repeats sessions of its last one's instant.", ("STORE-020",)),
        of=_LIST,
        old=r"return ours > theirs",
        new="return true",
    ),
    SqlMutant(
        *("channel_does_not_promote", "sessions", "Finding by channel leaves a session cold.", ("SESSIONS-052",)),
        of=_LIST,
        old=r"if ARGV\[12\] ~= '0' and",
        new="if false and",
    ),
    SqlMutant(
        *("lists_promote", "sessions", "A session that is listed becomes hot.", ("SESSIONS-054",)),
        of=_LIST,
        old=r"if ARGV\[12\] ~= '0' and call\('PEXPIRE', hot, ARGV\[12\]\) == 0 then (.*?) end",
        new="call('SET', hot, frame, 'PX', 60000)",
    ),
    SqlMutant(
        *("cleanup_one_more", "sessions", "A cleanup removes one session more than its limit.", ("SESSIONS-045",)),
        of=_CLEANUP,
        old=r"'LIMIT', 0, ARGV\[3\]\)",
        new="'LIMIT', 0, ARGV[3] + 1)",
    ),
    SqlMutant(
        *("cleanup_of_the_living", "sessions", "A cleanup goes by the end of the first save.", ("SESSIONS-049",)),
        of=_CLEANUP,
        old=r"if ends and ends > now then",
        new="if false then",
    ),
    SqlMutant(
        *("cleanup_forgets_the_living", "sessions", "A session saved again is never cleaned up.", ("SESSIONS-049",)),
        of=_CLEANUP,
        old=r"call\('ZADD', KEYS\[1\], ends, id\)",
        new="call('ZREM', KEYS[1], id)",
    ),
    SqlMutant(
        *("cleaned_up_for_ever", "sessions", "A cleanup counts the same sessions again.", ("SESSIONS-045",)),
        of=_CLEANUP,
        old=r"call\('ZREM', KEYS\[1\], id\)",
        new="",
    ),
]


@contextmanager
def mutated(mutant: SqlMutant, test_class: type[Any]) -> Iterator[Trace]:
    """Change every script that a client runs."""
    with broken_scripts(mutant) as trace:
        yield trace
