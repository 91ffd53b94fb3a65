"""The schema the migrations build: golden text, the tables in code, the models, keys, defaults, rights, triggers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import BaseModel
from sqlalchemy import Connection, MetaData
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from tests.integration.postgres.seeded_rows import TENANT, insert_row, insert_rows, seed_rows, stored_rows, type_name

from focal_core.config import models as config
from focal_core.memory import models as memory
from focal_core.profile import models as profile
from focal_postgres import migrate
from focal_postgres.layout import Layout
from focal_postgres.migrations import include_object
from focal_postgres.names import ASSET_COLUMNS, FIELD_COLUMNS, IDENTITY_COLUMNS, PROFILE_PARTS
from focal_postgres.schema import metadata, metadata_for
from focal_postgres.schema.columns import VectorType
from focal_postgres.schema.roles import grants
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected

pytestmark = pytest.mark.asyncio

MIGRATIONS = Path(__file__).parents[3] / "migrations"
VECTOR_INDEX = "hnsw_"
"""What the names of vector indexes begin with: they are made on demand, one for each space."""
APPEND_ONLY = ("turn_records", "audit_events", "consents")
OTHER = uuid4()


ischema_names["vector"] = VectorType


def in_focal(name: str | None, type_: str, parents: Any) -> bool:
    """Look at the schema focal only."""
    return name == "focal" if type_ == "schema" else parents.get("schema_name") == "focal"


def in_code(object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    """Leave out Alembic's own table and the vector indexes."""
    return not (name == "alembic_version" or (type_ == "index" and str(name).startswith(VECTOR_INDEX)))


def generator(name: str) -> ModuleType:
    """Return a module of the folder ``migrations``, which is no package."""
    spec = spec_from_file_location(f"focal_migrations_{name}", MIGRATIONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest_asyncio.fixture
async def url(postgres_server: PostgresServer, postgres_template: str) -> AsyncIterator[str]:
    """Yield the address of a database that the migrations have brought to head."""
    address = await postgres_server.create_database(template=postgres_template)
    yield address
    await postgres_server.drop_database(address)


def engine(url: str) -> AsyncEngine:
    """Return an engine whose search_path is public: a role named focal has schema focal first on its own."""
    address = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"server_settings": {"search_path": "public"}}
    return create_async_engine(address, poolclass=NullPool, connect_args=settings)


async def compared(url: str, *, against: MetaData, **options: Any) -> list[Any]:
    """Return what Alembic's autogenerate would change."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"include_schemas": True, **options})
        return list(compare_metadata(context, against))

    async with engine(url).connect() as connection:
        return await connection.run_sync(compare)


async def test_migrated_schema_equals_the_golden_text(url: str) -> None:
    """``migrations/schema.sql`` is what the migrations build; ``migrations/regenerate.py URL`` writes it."""
    built = await generator("dump").dump_schema(url, "focal")
    assert built == (MIGRATIONS / "schema.sql").read_text("utf-8")


async def test_autogenerate_finds_no_difference(url: str) -> None:
    """Tables in code and tables in the database are the same; a table left out of the code would be found."""
    looking = {"include_name": in_focal, "include_object": in_code}
    assert await compared(url, against=metadata_for("focal"), **looking) == []
    async with connected(url) as connection:
        await connection.execute("ALTER TABLE focal.rules ADD COLUMN surplus text")
    assert [one[0] for one in await compared(url, against=metadata_for("focal"), **looking)] == ["remove_column"]


async def test_frozen_statements_are_those_of_the_tables_in_code() -> None:
    """Until a revision is released its SQL is generated: a table changed in code asks for a new file."""
    assert generator("regenerate").outdated() == []


async def test_host_applications_migrations_are_undisturbed(url: str) -> None:
    """A host's autogenerate with our ``include_object`` proposes nothing about our schema; without it, it would.

    Both version tables stand side by side, and taking back our schema leaves the host's tables and version.
    """
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE public.host (id integer PRIMARY KEY)")
        await connection.execute("CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY)")
        await connection.execute("INSERT INTO public.alembic_version VALUES ('host_1')")
        host = MetaData()

        def reflect(found: Connection) -> None:
            host.reflect(found, only=["host"])

        async with engine(url).connect() as reflecting:
            await reflecting.run_sync(reflect)
        assert await compared(url, against=host, include_object=include_object) == []
        careless = await compared(url, against=host)
        assert "remove_table" in {one[0] for one in careless if isinstance(one, tuple)}
        options = PostgresOptions.model_validate({"url": url})
        await migrate.downgrade(options, "base")
        assert await connection.fetchval("SELECT version_num FROM public.alembic_version") == "host_1"
        assert await connection.fetchval("SELECT count(*) FROM public.host") == 0
        await connection.execute("UPDATE public.alembic_version SET version_num = 'host_2'")
        await migrate.upgrade(options)
        assert (await migrate.check(options)).up_to_date


LAYOUTS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "agents": (config.Agent, {}),
    "rules": (config.Rule, {"vectors": "rule_vectors"}),
    "scenarios": (config.Scenario, {"vectors": "scenario_vectors"}),
    "scenario_archives": (config.ScenarioArchive, {}),
    "templates": (config.Template, {}),
    "variables": (config.Variable, {}),
    "tool_activations": (config.ToolActivation, {}),
    "migration_plans": (config.MigrationPlan, {}),
    "episodes": (memory.Episode, {"vectors": "episode_vectors"}),
    "entities": (memory.Entity, {"vectors": "entity_vectors"}),
    "relationships": (memory.Relationship, {}),
    "customer_profiles": (profile.CustomerProfile, {"without": PROFILE_PARTS}),
    "channel_identities": (profile.ChannelIdentity, {"renamed": IDENTITY_COLUMNS}),
    "profile_fields": (profile.ProfileField, {"renamed": FIELD_COLUMNS}),
    "profile_assets": (profile.ProfileAsset, {"renamed": ASSET_COLUMNS}),
    "consents": (profile.Consent, {}),
    "profile_field_definitions": (profile.ProfileFieldDefinition, {}),
    "scenario_field_requirements": (profile.ScenarioFieldRequirement, {}),
}
WITHOUT_LAYOUT = {
    "embedding_spaces",
    "rule_vectors",
    "scenario_vectors",
    "episode_vectors",
    "entity_vectors",
    "sessions",
    "turn_records",
    "audit_events",
}
ADDED = {
    "agents": {"default_model"},
    "scenario_archives": {"digest"},
    "episodes": {"content_folded", "content_tsv"},
    **{name: {"tenant_id", "profile_id"} for name in ("channel_identities", "profile_fields", "profile_assets")},
    "consents": {"tenant_id", "profile_id"},
}
"""Columns that are no field of the model."""
SQL_NAMES = {"TIMESTAMP WITH TIME ZONE": "timestamptz"}


async def test_every_table_is_told_how_it_maps() -> None:
    """No table is forgotten by the test of columns and fields."""
    assert LAYOUTS.keys() | WITHOUT_LAYOUT == metadata.tables.keys()


@pytest.mark.parametrize("name", LAYOUTS)
async def test_every_field_has_its_column_and_every_column_its_field(name: str) -> None:
    """Model, layout and table name the same columns, of the same types, null where the model allows None (C-26)."""
    model, arguments = LAYOUTS[name]
    layout: Layout[Any] = Layout(model, name, **arguments)  # type: ignore[type-var]
    table = metadata.tables[name]
    own = {column.name: column for column in table.columns if column.name not in ADDED.get(name, ())}
    assert set(layout.names) == own.keys()
    for column, kind in zip(layout.names, layout.types, strict=True):
        compiled = type_name(own[column].type)
        assert SQL_NAMES.get(compiled, compiled.lower()) == kind, column
    expected = set(model.model_fields) - set(arguments.get("without", ())) - {layout.vector_field}
    assert {one.field for one in layout.columns} == expected
    for one in layout.columns:
        allowed = type(None) in getattr(model.model_fields[one.field].annotation, "__args__", ())
        assert own[one.name].nullable == allowed, one.name


async def test_every_key_and_index_is_led_by_the_tenant(url: str) -> None:
    """Nothing in a table of tenants is found without naming the tenant first, but by GIN and by vector."""
    async with connected(url) as connection:
        found = await connection.fetch(
            """
            SELECT t.relname AS table, c.relname AS index, m.amname AS method, a.attname AS leading
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
            JOIN pg_am m ON m.oid = c.relam JOIN pg_namespace n ON n.oid = t.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
            WHERE n.nspname = 'focal' AND t.relname NOT IN ('embedding_spaces', 'alembic_version')
            """
        )
    assert {row["method"] for row in found} == {"btree", "gin", "hnsw"}
    assert {row["table"] for row in found} == metadata.tables.keys() - {"embedding_spaces"}
    assert [row["index"] for row in found if row["method"] == "btree" and row["leading"] != "tenant_id"] == []
    keyed = [table.name for table in metadata.tables.values() if "tenant_id" in table.columns]
    for name in keyed:
        for key in metadata.tables[name].foreign_key_constraints:
            if key.referred_table.name != "embedding_spaces":
                assert next(iter(key.columns)).name == "tenant_id"


@pytest.mark.parametrize("only_required", [True, False], ids=["defaults", "everything given"])
async def test_rows_by_default_violate_nothing(url: str, only_required: bool) -> None:
    """No default is refused by a check of its own table (C-56), and every column can hold a value."""
    async with connected(url) as connection:
        for table, row in seed_rows("focal", only_required=only_required):
            await insert_row(connection, table, row)
        for table, rows in (await stored_rows(connection, "focal")).items():
            assert rows, table


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_append_only_tables_refuse_change_by_anyone(url: str, table: str) -> None:
    """Their owner may neither update, delete nor truncate, nor pass by setting the functions' flag for an UPDATE."""
    async with connected(url) as connection:
        await insert_rows(connection, "focal")
        before = await stored_rows(connection, "focal")
        attempts = [
            f"UPDATE focal.{table} SET created_at = now()",
            f"DELETE FROM focal.{table}",
            f"TRUNCATE focal.{table}",
            f"TRUNCATE focal.{table} CASCADE",
            f"SET focal.removing = 'on'; UPDATE focal.{table} SET created_at = now()",
            f"SET focal.removing = 'on'; TRUNCATE focal.{table}",
        ]
        for attempt in attempts:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute(attempt)
            assert refused.value.sqlstate == "FO001"
        assert await stored_rows(connection, "focal") == before


async def test_purge_and_erase_reach_one_tenant_only(url: str) -> None:
    """The functions remove what their arguments say, return its number, and leave the flag down."""
    async with connected(url) as connection:
        session, other_session = uuid4(), uuid4()
        for tenant in (TENANT, OTHER):
            for day, of_session in ((1, session), (2, other_session), (3, None)):
                await add_event(connection, tenant, day, of_session)
            await add_turn(connection, tenant, 1, session)
        purge = "SELECT focal.purge_audit($1, $2::text::timestamptz, $3)"
        assert await connection.fetchval(purge, TENANT, "2026-01-02", [other_session]) == 0
        assert await connection.fetchval(purge, TENANT, "2026-01-02", None) == 2
        assert await connection.fetchval(purge, TENANT, None, [other_session]) == 1
        assert await connection.fetchval(purge, TENANT, "2027-01-01", [session]) == 0
        assert await connection.fetchval("SELECT focal.erase_tenant_audit($1)", TENANT) == 1
        assert await connection.fetchval("SELECT count(*) FROM focal.audit_events") == 3
        assert await connection.fetchval("SELECT count(*) FROM focal.turn_records") == 1
        async with connection.transaction():
            await connection.execute("SELECT focal.erase_tenant_audit($1)", TENANT)
            assert await connection.fetchval("SELECT current_setting('focal.removing')") == "off"
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("DELETE FROM focal.audit_events")


async def test_profiles_are_erased_with_their_consents(url: str) -> None:
    """A profile's consents go by themselves; a tenant's rows of the port go in one call."""
    async with connected(url) as connection:
        await insert_rows(connection, "focal")
        consent = (await stored_rows(connection, "focal"))["consents"]
        assert len(consent) == 1
        owner = await connection.fetchval("SELECT profile_id FROM focal.consents")
        assert await connection.fetchval("SELECT focal.erase_consents($1, $2)", OTHER, owner) == 0
        assert await connection.fetchval("SELECT focal.erase_consents($1, $2)", TENANT, uuid4()) == 0
        assert await connection.fetchval("SELECT focal.erase_consents($1, $2)", TENANT, owner) == 1
        assert await connection.fetchval("SELECT focal.erase_tenant_profiles($1)", OTHER) == 0
        assert await connection.fetchval("SELECT focal.erase_tenant_profiles($1)", TENANT) == 6
        left = await stored_rows(connection, "focal")
        assert [table for table in left if table.startswith(("profile", "customer", "channel", "consents"))] != []
        assert all(
            not left[table] for table in left if table.startswith(("profile", "customer", "channel", "consents"))
        )
        assert left["sessions"] != []


async def test_run_time_role_may_only_insert_into_append_only_tables(url: str) -> None:
    """Rights hold where triggers are off: no UPDATE, DELETE or TRUNCATE, and no function that removes."""
    role = f"focal_test_{uuid4().hex}"
    async with connected(url) as connection:
        await connection.execute(f'CREATE ROLE "{role}"')
        try:
            for statement in grants("focal", role):
                await connection.execute(statement)
            for table in APPEND_ONLY:
                await connection.execute(f"ALTER TABLE focal.{table} DISABLE TRIGGER ALL")
            await connection.execute(f'SET ROLE "{role}"')
            await insert_rows(connection, "focal")
            await stored_rows(connection, "focal")
            denied = [f"{verb} focal.{table}" for table in APPEND_ONLY for verb in ("DELETE FROM", "TRUNCATE")]
            denied += [f"UPDATE focal.{table} SET created_at = now()" for table in APPEND_ONLY]
            denied += [
                f"SELECT focal.purge_audit('{TENANT}', now(), NULL)",
                f"SELECT focal.erase_tenant_audit('{TENANT}')",
                f"SELECT focal.erase_tenant_profiles('{TENANT}')",
                f"SELECT focal.erase_consents('{TENANT}', '{TENANT}')",
                "CREATE TABLE focal.own (id integer)",
                "DROP TABLE focal.rules",
            ]
            for statement in denied:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            await connection.execute("UPDATE focal.rules SET name = 'other'; DELETE FROM focal.rules")
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


async def test_maintenance_role_removes_through_the_functions_alone(url: str) -> None:
    """It may purge and erase, yet not delete; and with the right to delete, the trigger knows it is not the owner."""
    role = f"focal_test_{uuid4().hex}"
    async with connected(url) as connection:
        await connection.execute(f'CREATE ROLE "{role}"')
        try:
            for statement in grants("focal", role, maintenance=True):
                await connection.execute(statement)
            await insert_rows(connection, "focal")
            await connection.execute(f'SET ROLE "{role}"')
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("DELETE FROM focal.turn_records")
            await connection.execute("RESET ROLE")
            await connection.execute(f'GRANT DELETE ON focal.turn_records TO "{role}"')
            await connection.execute(f"SET ROLE \"{role}\"; SET focal.removing = 'on'")
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute("DELETE FROM focal.turn_records")
            assert refused.value.sqlstate == "FO001"
            assert await connection.fetchval("SELECT focal.erase_tenant_audit($1)", TENANT) == 2
            assert await connection.fetchval("SELECT focal.erase_tenant_profiles($1)", TENANT) == 7
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


async def add_event(connection: asyncpg.Connection[Any], tenant: UUID, day: int, session: UUID | None) -> None:
    """Insert an event of a day of January 2026."""
    await connection.execute(
        "INSERT INTO focal.audit_events (tenant_id, id, session_id, event_type, created_at, digest, payload)"
        " VALUES ($1, $2, $3, 'test', $4::text::timestamptz, '', '{}')",
        *(tenant, uuid4(), session, f"2026-01-0{day} 00:00:00Z"),
    )


async def add_turn(connection: asyncpg.Connection[Any], tenant: UUID, day: int, session: UUID) -> None:
    """Insert a turn of a day of January 2026."""
    await connection.execute(
        "INSERT INTO focal.turn_records (tenant_id, id, session_id, turn_number, created_at, digest, payload)"
        " VALUES ($1, $2, $3, 0, $4::text::timestamptz, '', '{}')",
        *(tenant, uuid4(), session, f"2026-01-0{day} 00:00:00Z"),
    )
