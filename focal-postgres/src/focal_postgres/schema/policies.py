"""Row-level security policies: there in every schema, in force once ``focal db row-level-security on`` was run."""

from __future__ import annotations

from focal_postgres.names import POLICY, TENANT_SETTING
from focal_postgres.schema.columns import metadata

# The subquery is evaluated once for a statement. Behind a SET LOCAL the setting is '' and no longer NULL: in neither
# case is a row anybody's.
_OWN = f"tenant_id = (SELECT NULLIF(current_setting('{TENANT_SETTING}', true), '')::uuid)"


def create_policies(schema: str) -> list[str]:
    """Return the statements that create the policies in a schema; what may be read is what may be written."""
    tables = sorted(name for name, table in metadata.tables.items() if "tenant_id" in table.columns)
    return [f"CREATE POLICY {POLICY} ON {schema}.{table} USING ({_OWN})" for table in tables]
