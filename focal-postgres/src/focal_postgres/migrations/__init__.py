"""The revisions of the schema, and what a host application's own Alembic needs to leave focal's tables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

IncludeObject = Callable[[Any, str | None, str, bool, Any], bool]


def outside(schema: str) -> IncludeObject:
    """Return an ``include_object`` that leaves out everything in a schema.

    A host application whose autogenerate looks at several schemas passes it to ``context.configure``, so that its
    Alembic does not propose to drop focal's tables. Its connection must not have the schema on the search_path, as a
    role of the same name has: Alembic knows what is found there by no schema at all.
    """

    def include(object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        table = object if type_ == "table" else getattr(object, "table", None)
        return getattr(table, "schema", None) != schema

    return include


include_object = outside("focal")
"""``outside`` for the schema focal uses by default."""
