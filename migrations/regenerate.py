"""Write what is generated: the SQL of every revision that is not released yet, and the golden ``schema.sql``.

    python migrations/regenerate.py --revisions     after a change of ``focal_postgres.schema``, before its release
    python migrations/regenerate.py URL             schema.sql, from an empty database at URL

A revision that was released never changes: it leaves ``CONTENTS``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from focal_postgres.migrations.steps import SEPARATOR
from focal_postgres.schema import create_table, metadata
from focal_postgres.schema.functions import AUDIT_FUNCTIONS, PROFILE_FUNCTIONS, REFUSE_CHANGE, create_function
from focal_postgres.schema.policies import create_policies

HERE = Path(__file__).parent
VERSIONS = HERE.parent / "focal-postgres" / "src" / "focal_postgres" / "migrations" / "versions"
PLACED = "schema_to_be_named"
"""Stands for the schema while SQLAlchemy writes, which would put braces into quotes."""

CONTENTS: dict[str, tuple[str, ...]] = {
    "001_initial_schema": ("embedding_spaces",),
    "002_config_store": (
        "agents",
        "rules",
        "rule_vectors",
        "scenarios",
        "scenario_vectors",
        "templates",
        "variables",
        "tool_activations",
    ),
    "003_memory_store": ("episodes", "episode_vectors", "entities", "entity_vectors", "relationships"),
    "004_audit_store": ("turn_records", "audit_events"),
    "005_profile_store": ("customer_profiles", "channel_identities", "profile_fields", "profile_assets"),
    "006_migration_plans": ("migration_plans", "scenario_archives"),
    "007_vector_indexes": (),
    "008_profile_schema": ("profile_field_definitions", "scenario_field_requirements", "consents"),
    "009_sessions": ("sessions",),
    "010_row_level_security": (),
}
"""Revision -> the tables it builds."""

BEFORE = {"001_initial_schema": ["CREATE EXTENSION IF NOT EXISTS vector", REFUSE_CHANGE]}
AFTER = {
    "004_audit_store": [one for item in AUDIT_FUNCTIONS.items() for one in create_function(*item)],
    "007_vector_indexes": [
        "INSERT INTO {schema}.embedding_spaces (id, model, dims, metric)\n"
        "VALUES (1, 'default', 1536, 'cosine'), (2, 'text-embedding-3-small', 1536, 'cosine')\n"
        "ON CONFLICT DO NOTHING"
    ],
    "008_profile_schema": [one for item in PROFILE_FUNCTIONS.items() for one in create_function(*item)],
    "010_row_level_security": create_policies(PLACED),
}


def frozen() -> dict[Path, str]:
    """Return the SQL file of every revision and its text."""
    missing = metadata.tables.keys() - {name for names in CONTENTS.values() for name in names}
    if missing:
        raise SystemExit(f"no revision builds {', '.join(sorted(missing))}")
    files = {}
    for revision, names in CONTENTS.items():
        built = [one for name in names for one in create_table(metadata.tables[name], PLACED)]
        statements = [*BEFORE.get(revision, []), *built, *AFTER.get(revision, [])]
        lines = SEPARATOR.join("\n".join(line.rstrip() for line in one.splitlines()) for one in statements)
        files[VERSIONS / f"{revision}.sql"] = f"{lines.replace(PLACED, '{schema}')};\n"
    return files


def outdated() -> list[str]:
    """Return the files whose text is another one."""
    return [path.name for path, text in frozen().items() if path.read_text("utf-8") != text]


async def write_schema(url: str) -> None:
    """Write ``schema.sql`` from a database that is migrated for it.

    Args:
        url: an empty database.
    """
    sys.path.insert(0, str(HERE))
    from dump import dump_schema

    from focal_postgres import migrate
    from focal_postgres.settings import PostgresOptions

    options = PostgresOptions.model_validate({"url": url})
    await migrate.upgrade(options)
    (HERE / "schema.sql").write_text(await dump_schema(url, options.schema_name), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--revisions"]:
        for path, text in frozen().items():
            path.write_text(text, "utf-8")
    else:
        asyncio.run(write_schema(sys.argv[1]))
