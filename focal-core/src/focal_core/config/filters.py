"""What all backends check of the config port's filters before they look anything up."""

from __future__ import annotations

from uuid import UUID

from focal_core.config.models import Scope
from focal_core.errors import InvalidDataError


def check_scope_filter(scope: Scope | None, scope_id: UUID | None) -> None:
    """Refuse a ``scope_id`` filter without a ``scope`` filter.

    Raises:
        InvalidDataError: code ``scope_missing``.
    """
    if scope_id is not None and scope is None:
        raise InvalidDataError(
            "scope_id is given without scope", code="scope_missing", hint="pass scope=Scope.SCENARIO or Scope.STEP"
        )
