"""The embedding spaces of a database: which (model, dims) pair has which number, and which indexes exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from focal_postgres.database import Database

Space = tuple[str, int]
"""(model, dims)."""


class Spaces:
    """The spaces, read once and extended when a new one appears.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[Space, int] = {}

    async def id_of(self, model: str, dims: int) -> int:
        """Return the number of a space, entering it if it is new: one round trip the first time, none afterwards."""
        known = self._ids.get((model, dims))
        if known is not None:
            return known
        table = f"{self._database.schema}.embedding_spaces"
        # The loser of a race sees no row of its own and none of the winner's: look again.
        while (known := self._ids.get((model, dims))) is None:
            rows = await self._database.write(
                "spaces",
                f"WITH added AS (INSERT INTO {table} (model, dims, metric) VALUES ($1, $2, 'cosine')"
                f" ON CONFLICT (model, dims, metric) DO NOTHING RETURNING id)"
                f" SELECT id FROM added UNION ALL SELECT id FROM {table} WHERE model = $1 AND dims = $2",
                model,
                dims,
                repeat=True,
            )
            if rows:
                self._ids[model, dims] = rows[0][0]
        return known

    async def known(self, *, refresh: bool = False) -> dict[Space, int]:
        """Return every space with its number.

        Args:
            refresh: True asks the database again; otherwise only the first call does.
        """
        if refresh or not self._ids:
            rows = await self._database.fetch(
                "spaces", f"SELECT id, model, dims FROM {self._database.schema}.embedding_spaces"
            )
            self._ids.update({(row["model"], row["dims"]): row["id"] for row in rows})
        return dict(self._ids)
