"""How the text of episodes is stored and found.

PostgreSQL's own parser splits and folds text as the server's locale says, and takes ``2nd/3rd`` for a path. Here Python
does both: a row holds its text case-folded, one space between words, and the words of it as the lexemes of a tsvector.

A word is a run of letters and digits; any other character is a word by itself, and so is every character of a script
that writes no spaces. What a term stands for as a word is found through the GIN index; that it is there letter for
letter is checked on the folded text, which also finds parts of words, in the newest ``LOOKED_AT`` episodes of a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

from focal_core.memory.models import Episode
from focal_core.memory.search import split_terms, text_score
from focal_core.textcodec import encode_text

LOOKED_AT = 1_000
"""Episodes of a group, latest first, that are searched letter by letter; as many matches at most are ranked."""

_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+|[^\\w\\s]|_")
_LONGEST = 255
_MOST_BYTES = 500_000
"""Of the words of one text: a tsvector holds 1 MiB."""

_TOO_MANY = " *"
"""Stands for the words of a text that has too many; begins with a space, as no word does."""

_ASKED = 32
"""Words of a query that the index is asked for; the others are only checked."""

_PATTERN = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


def text_columns(episode: Episode) -> tuple[str, list[str]]:
    """Return what is stored to find an episode by its text: (folded text, lexemes).

    The first lexeme is that of tenant and group, so that the index finds words of one group only.
    """
    folded = " ".join(episode.content.casefold().split())
    words = _words(folded)
    stored = encode_text(folded)
    if len(stored) > _MOST_BYTES // 4 and sum(len(word.encode()) for word in words) > _MOST_BYTES:
        words = [_TOO_MANY]
    return stored, [group_lexeme(episode.tenant_id, episode.group_id), *words]


def _words(folded: str) -> list[str]:
    found = set(folded.split(" "))
    if odd := [part for part in found if not (part.isalnum() and part.isascii())]:
        found.difference_update(odd)
        found.update(_WORD.findall(" ".join(odd)))
    encoded = encode_text(" ".join(found)).split(" ") if found else []
    return [word[:_LONGEST] for word in encoded] if len(folded) > _LONGEST else encoded


def group_lexeme(tenant_id: UUID, group_id: str) -> str:
    """Return the lexeme that all texts of a group have, and no others."""
    return f" {blake2b(tenant_id.bytes + group_id.encode(), digest_size=8).hexdigest()}"


class TextQuery:
    """The part of a statement that finds the episodes that match a text query.

    Args:
        query: the terms.
        tenant_id: the owner.
        groups: the groups, at least one.

    Attributes:
        terms: from ``split_terms``; without any there is nothing to find.
        tenant_id: the owner.
    """

    def __init__(self, query: str, tenant_id: UUID, groups: Sequence[str]) -> None:
        self.terms = split_terms(query)
        self.tenant_id = tenant_id
        self._groups = list(groups)

    def ctes(self, schema: str, parameter: Callable[[Any, str], str], where: str, limit: int) -> str:
        """Return ``name AS (...), ...`` for a WITH clause; ``text_best (id, occurred_at, score)`` are the best rows.

        Args:
            schema: where the tables are.
            parameter: ``(value, type) -> $n::type``: adds a parameter to the statement.
            where: a further condition on the alias ``r``, with columns of ``_FILTERED`` only.
            limit: rows.
        """
        tenant, groups = parameter(self.tenant_id, "uuid"), parameter(self._groups, "text[]")
        # No tsquery parameter: its type would have to be looked up behind a pooler.
        lexemes = f"({parameter(self._lexemes(), 'text')})::tsquery"
        patterns = parameter([f"%{encode_text(term).translate(_PATTERN)}%" for term in self.terms], "text[]")
        matches = f"r.content_folded LIKE ALL ({patterns}) AND {where}"
        columns = "r.id, r.occurred_at, r.content_folded, r.valid_from, r.valid_to, r.episode_type"
        newest = (
            f"SELECT {columns} FROM {schema}.episodes r WHERE r.tenant_id = {tenant} AND r.group_id = g.label"
            f" ORDER BY r.occurred_at DESC, r.id LIMIT {LOOKED_AT}"
        )
        # Behind OFFSET 0 nothing but the GIN index can be chosen: the group's own index would be read as a whole.
        indexed = (
            f"SELECT r.tenant_id, r.group_id, {columns} FROM {schema}.episodes r"
            f" WHERE r.content_tsv @@ {lexemes} OFFSET 0"
        )
        found = "r.id, r.occurred_at, r.content_folded"
        return (
            f"text_found AS (SELECT {found} FROM unnest({groups}) g (label) CROSS JOIN LATERAL ({newest}) r"
            f" WHERE {matches} UNION (SELECT {found} FROM ({indexed}) r WHERE r.tenant_id = {tenant}"
            f" AND r.group_id = ANY ({groups}) AND {matches} ORDER BY r.occurred_at DESC, r.id LIMIT {LOOKED_AT})),"
            f" text_best AS MATERIALIZED (SELECT f.id, f.occurred_at, w.score FROM text_found f CROSS JOIN LATERAL"
            f" (SELECT count(*) FILTER (WHERE word LIKE ANY ({patterns}))::float8 / count(*) AS score"
            f" FROM unnest(string_to_array(f.content_folded, ' ')) word) w"
            f" ORDER BY w.score DESC, f.occurred_at DESC, f.id LIMIT {parameter(limit, 'bigint')})"
        )

    def score(self, episode: Episode, found: float) -> float:
        """Return the text score of an episode, 0.0 when it does not match.

        Args:
            episode: what the statement found.
            found: its score there, where escapes of what PostgreSQL cannot hold are text too.
        """
        escaped = encode_text(episode.content) != episode.content
        return text_score(self.terms, episode.content) if escaped else found

    def _lexemes(self) -> str:
        found = dict.fromkeys(word for term in self.terms for word in _words(term))
        asked = sorted(found, key=len, reverse=True)[:_ASKED]
        groups = " | ".join(_quoted(group_lexeme(self.tenant_id, group)) for group in self._groups)
        return f"({groups}) & ({' & '.join(map(_quoted, asked))} | {_quoted(_TOO_MANY)})"


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
