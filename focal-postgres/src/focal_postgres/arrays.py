"""Types the driver has to be told of: arrays of built-in types, and pgvector's."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from focal_core.values import Float32Vector
from focal_postgres.layout import vector_of

_BUILT_IN = {
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "int4": (1007, 23),
    "int8": (1016, 20),
    "float4": (1021, 700),
    "float8": (1022, 701),
    "timestamptz": (1185, 1184),
    "uuid": (2951, 2950),
    "json": (199, 114),
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


_VECTOR_SCHEMA = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""


async def introduce(connection: Any) -> None:
    """Tell a new asyncpg connection what it would ask the server at the first use of each of these types.

    The question costs round trips, and behind a transaction pooler its answer may come from another server process.
    A driver that keeps the arrays elsewhere asks, as ever. Vectors go in pgvector's own form: as ``float4[]``, which
    the driver writes component by component, one of 1,536 costs ten times as much.
    """
    schema = await connection.fetchval(_VECTOR_SCHEMA)
    if schema is not None:
        await connection.set_type_codec("vector", schema=schema, encoder=packed, decoder=vector_of, format="binary")
    # Last: the driver forgets what it knows of arrays when it is given a codec.
    with suppress(AttributeError, LookupError, TypeError):
        connection._protocol.get_settings().register_data_types(_TYPES)


def packed(vector: Sequence[float]) -> bytes:
    """Return a vector as pgvector receives it: two bytes of dimensions, two of padding, big-endian float32."""
    known = vector if type(vector) is Float32Vector else Float32Vector(vector)
    return _HEAD.pack(len(known), 0) + known.network


_HEAD = struct.Struct("!HH")
