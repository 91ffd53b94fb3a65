"""Scripts that take no notice of a session's end, where the server does not end it."""

from __future__ import annotations

from tests.integration.redis.lua_mutants.sessions import mutated

from focal_testkit.mutants.sql import SqlMutant

_END = r"expires\(head\) > now"

MUTANTS = [
    SqlMutant(
        *("expired_is_saved", "sessions", "An expired session is saved on.", ("SESSIONS-043",)),
        of="Stores a session in both",
        old=r"stored ~= '' and expires\(stored\) > now",
        new="stored ~= ''",
    ),
    SqlMutant(
        *("expired_is_deleted", "sessions", "An expired session can be deleted.", ("SESSIONS-043",)),
        of="Removes a session, or",
        old=_END,
        new="true",
    ),
    SqlMutant(
        *("expired_waits", "sessions", "A cleanup spares sessions at the moment they expire.", ("SESSIONS-045",)),
        of="Removes sessions",
        old=r"'-inf', ARGV\[2\]",
        new="'-inf', '(' .. ARGV[2]",
    ),
    SqlMutant(
        *("cleanup_leaves_copies", "sessions", "A cleanup counts sessions and leaves them.", ("SESSIONS-045",)),
        of="Removes sessions",
        old=r"call\('DEL', persist, base .. 'hot:' .. id\)",
        new="",
    ),
]

__all__ = ["MUTANTS", "mutated"]
