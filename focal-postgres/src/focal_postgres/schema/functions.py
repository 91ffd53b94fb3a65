"""SQL functions: what keeps append-only tables append-only, and the only ways around it.

The trigger lets a DELETE pass when the transaction carries the flag and the current user owns the table; both hold
only inside the SECURITY DEFINER functions here, each of which is confined to one tenant. UPDATE and TRUNCATE never
pass. PUBLIC may not execute the functions: ``schema.roles`` grants them.
"""

from __future__ import annotations

_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

REFUSE_CHANGE = """
CREATE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('focal.removing', true) = 'on'
        AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'FO001';
END
$$
""".strip()

APPEND_ONLY = (
    "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change()",
    "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()",
)
"""Statements that follow the creation of an append-only table."""


def _removing(signature: str, removal: str) -> str:
    """Return a function that removes rows of one tenant from append-only tables, and returns their number.

    Args:
        signature: name and arguments; the first argument is the tenant.
        removal: a query of one bigint, with the removal in its WITH clause.
    """
    return f"""
CREATE FUNCTION {{schema}}.{signature} RETURNS bigint {_DEFINER} AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    {removal} INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$$
""".strip()


def _removal(**tables: str) -> str:
    steps = ", ".join(
        f"from_{table} AS (DELETE FROM {{schema}}.{table} WHERE {condition} RETURNING 1)"
        for table, condition in tables.items()
    )
    return f"WITH {steps} SELECT {' + '.join(f'(SELECT count(*) FROM from_{table})' for table in tables)}"


_PURGED = (
    "tenant_id = tenant AND (before IS NULL OR created_at < before)"
    " AND (session_ids IS NULL OR session_id = ANY (session_ids))"
)
_OF_TENANT = "tenant_id = tenant"

AUDIT_FUNCTIONS = {
    "purge_audit(uuid, timestamptz, uuid[])": _removing(
        "purge_audit(tenant uuid, before timestamptz, session_ids uuid[])",
        _removal(turn_records=_PURGED, audit_events=_PURGED),
    ),
    "erase_tenant_audit(uuid)": _removing(
        "erase_tenant_audit(tenant uuid)", _removal(turn_records=_OF_TENANT, audit_events=_OF_TENANT)
    ),
}
"""Signature -> definition of the functions of port ``audit``."""

PROFILE_FUNCTIONS = {
    "erase_consents(uuid, uuid)": _removing(
        "erase_consents(tenant uuid, profile uuid)",
        _removal(consents="tenant_id = tenant AND profile_id = profile"),
    ),
    "erase_tenant_profiles(uuid)": _removing(
        "erase_tenant_profiles(tenant uuid)",
        _removal(
            consents=_OF_TENANT,
            channel_identities=_OF_TENANT,
            profile_fields=_OF_TENANT,
            profile_assets=_OF_TENANT,
            customer_profiles=_OF_TENANT,
            profile_field_definitions=_OF_TENANT,
            scenario_field_requirements=_OF_TENANT,
        ),
    ),
}
"""Signature -> definition of the functions of port ``profiles``."""


def create_function(signature: str, definition: str) -> tuple[str, str]:
    """Return the statements that create a function which nobody but its owner may execute."""
    return definition, f"REVOKE ALL ON FUNCTION {{schema}}.{signature} FROM PUBLIC"
