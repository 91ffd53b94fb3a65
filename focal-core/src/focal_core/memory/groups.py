"""Labels of the usual memory groups; any other string is a legal group id too.

A label partitions what a tenant remembers. It is no security boundary: that is the tenant.
"""

from __future__ import annotations

from uuid import UUID


def session(id: UUID) -> str:
    """Return the group of what one session brought up: ``"session:<id>"``."""
    return f"session:{id}"


def customer(id: UUID) -> str:
    """Return the group of what is known of one customer, across sessions: ``"customer:<id>"``."""
    return f"customer:{id}"


def agent(id: UUID) -> str:
    """Return the group of what one agent knows, whoever it talks to: ``"agent:<id>"``."""
    return f"agent:{id}"
