"""The array types of statements over several rows, known without asking the server."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_BUILT_IN = {
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "int4": (1007, 23),
    "int8": (1016, 20),
    "float4": (1021, 700),
    "float8": (1022, 701),
    "timestamptz": (1185, 1184),
    "uuid": (2951, 2950),
    "jsonb": (3807, 3802),
}
"""Element -> object ids of its array type and of itself, the same in every PostgreSQL."""

_TYPES = [
    {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "elemtype": element,
        "elemtype_name": name,
        "elemdelim": ",",
        "depth": 1,
        "basetype": None,
        "basetype_name": None,
        "range_subtype": None,
        "range_subtype_name": None,
        "attrtypoids": None,
        "attrnames": None,
    }
    for name, (array, element) in _BUILT_IN.items()
]


def introduce(connection: Any) -> None:
    """Tell a new asyncpg connection what it would ask the server at the first use of each of these types.

    The question costs round trips, and behind a transaction pooler its answer may come from another server process.
    A driver that keeps this elsewhere asks, as ever.
    """
    with suppress(AttributeError, LookupError, TypeError):
        connection._protocol.get_settings().register_data_types(_TYPES)
