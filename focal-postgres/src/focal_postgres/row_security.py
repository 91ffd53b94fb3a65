"""Row-level security: a wall between tenants inside the database, behind the tenant that every statement names.

With ``row_level_security`` each call of a store runs in a transaction that says which tenant it is for, and the server
shows it no other rows, whatever the statement asks for. The tenant is taken from the call's own arguments, before any
statement is made.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from focal_core.errors import FocalError, SchemaOutdatedError
from focal_postgres.errors import SCHEMA_HINT
from focal_postgres.names import POLICY, TENANT_SETTING
from focal_postgres.revisions import REVISIONS

if TYPE_CHECKING:
    from focal_postgres.settings import PostgresOptions

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

_TENANT: ContextVar[UUID | None] = ContextVar("focal_tenant", default=None)

_SWITCHES = {True: ("ENABLE", "FORCE"), False: ("NO FORCE", "DISABLE")}
_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled,
    c.relrowsecurity AND c.relforcerowsecurity AND p.oid IS NOT NULL AS secured,
    (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypasses
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = $2
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname
"""


def tenant_setting() -> str | None:
    """Return the statement that says whom the running call is for, or None when it is for nobody in particular."""
    tenant = _TENANT.get()
    return None if tenant is None else _setting(tenant)


def together(
    options: PostgresOptions, items: Iterable[Item], tenant: Callable[[Item], UUID], size: int
) -> Iterator[list[Item]]:
    """Yield items in their order, as many as a statement of a bulk call may be about.

    Args:
        options: of the database; behind row-level security a statement is about one tenant.
        items: of a call.
        tenant: of an item.
        size: how many may be together at most.
    """
    groups = (group for _, group in groupby(items, tenant)) if options.row_level_security else [iter(items)]
    for group in groups:
        while chunk := list(islice(group, size)):
            yield chunk


async def turn_to(connection: Any, options: PostgresOptions, tenant: UUID) -> None:
    """Have what follows in the transaction of a call speak for one of the tenants, where the call is for several."""
    if options.row_level_security and _TENANT.get() is None:
        await connection.execute(_setting(tenant))


def _setting(tenant: UUID) -> str:
    # Only the text of a UUID ever stands in the statement.
    return f"SET LOCAL {TENANT_SETTING} = '{UUID(int=tenant.int)}'"


@contextmanager
def speaking_for(tenant: UUID | None) -> Iterator[None]:
    """Have the statements of a block speak for a tenant."""
    before = _TENANT.get()
    _TENANT.set(tenant)
    try:
        yield
    finally:
        # Not by a token: a call that is thrown away may end in another context.
        _TENANT.set(before)


def walled(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return a store's bound method whose statements speak for the tenant its arguments name.

    That is ``tenant_id`` or, where there is none, the tenant of the models the first argument is or holds. A call for
    several tenants turns from one to the next by itself.
    """
    names = list(inspect.signature(method).parameters)
    at = names.index("tenant_id") if "tenant_id" in names else None

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if at is not None:
            tenant = args[at] if at < len(args) else kwargs.get("tenant_id")
        else:
            tenant = _tenant_of(args[0] if args else kwargs.get(names[0]) if names else None)
        # What names none is a part of the call that did, or of no one tenant.
        with speaking_for(tenant if isinstance(tenant, UUID) else _TENANT.get()):
            return await method(*args, **kwargs)

    return call


def _tenant_of(given: Any) -> Any:
    """Return the tenant of a model, or the one of the models of a collection; None where there are several."""
    if not isinstance(given, Collection):
        return getattr(given, "tenant_id", None)
    tenants = {getattr(one, "tenant_id", None) for one in given}
    return tenants.pop() if len(tenants) == 1 else None


@dataclass(frozen=True)
class RowSecurity:
    """How a schema and a role stand to row-level security.

    Attributes:
        tables: those that have a tenant.
        enabled: those of them on which it is enabled.
        secured: those on which it is enabled, also for their owner, with focal's policy.
        bypasses: whether the role sees everything all the same: a superuser, or one with BYPASSRLS.
    """

    tables: tuple[str, ...]
    enabled: tuple[str, ...]
    secured: tuple[str, ...]
    bypasses: bool

    @property
    def on(self) -> bool:
        """Whether every table is secured."""
        return self.secured == self.tables


async def look(fetch: Callable[..., Awaitable[Any]], schema: str) -> RowSecurity:
    """Return what the catalogs say.

    Args:
        fetch: runs a statement with its parameters and returns the rows.
        schema: the PostgreSQL schema.
    """
    rows = await fetch(_TABLES, schema, POLICY)
    return RowSecurity(
        tables=tuple(row["name"] for row in rows),
        enabled=tuple(row["name"] for row in rows if row["enabled"]),
        secured=tuple(row["name"] for row in rows if row["secured"]),
        bypasses=any(row["bypasses"] for row in rows),
    )


async def switch(options: PostgresOptions, on: bool | None = None) -> RowSecurity:
    """Put the policies in force on every table, for the owner too, or out of it, and return how things stand then.

    Args:
        options: where; ``migration_url`` is used where there is one, and its role must own the tables.
        on: whether they are to be in force, on all tables or on none; None = only look.

    Raises:
        SchemaOutdatedError: the schema has no policies yet.
        StoreError: code ``permission_denied``.
    """
    from focal_postgres.migrations.session import connected, locked

    async with connected(options) if on is None else locked(options) as session:
        connection = session.connection
        try:
            if await session.current() != REVISIONS[-1]:
                raise SchemaOutdatedError(f"the schema {session.schema!r} is not up to date", hint=SCHEMA_HINT)
            found = await look(connection.fetch, session.schema)
            if on is None:
                return found
            async with connection.transaction():
                for table in found.tables:
                    for action in _SWITCHES[on]:
                        await connection.execute(f"ALTER TABLE {session.schema}.{table} {action} ROW LEVEL SECURITY")
            return await look(connection.fetch, session.schema)
        except FocalError:
            raise
        except Exception as error:
            raise session.ours(error) from None
