"""``focal db index``: built without blocking, built anew after an interruption, listed, dropped, and advised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
from typer.testing import CliRunner, Result

from focal_postgres import cli, index
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected, run

TENANT, OTHER, AGENT = UUID(int=1), UUID(int=2), UUID(int=3)
APP = typer.Typer()
cli.focal_add_commands(APP)
APP.callback()(lambda: None)


@pytest.fixture
def url(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield the address of a database of focal's, in a folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    address = run(postgres_server.create_database(template=postgres_template))
    yield address
    run(postgres_server.drop_database(address))


def focal(*arguments: str) -> Result:
    return CliRunner().invoke(APP, ["db", "index", *arguments])


def execute(url: str, *statements: str) -> None:
    async def work() -> None:
        async with connected(url) as connection:
            for statement in statements:
                await connection.execute(statement)

    run(work())


def fill(url: str, rows: int, tenant: UUID) -> None:
    execute(
        url,
        "INSERT INTO focal.embedding_spaces (id, model, dims) OVERRIDING SYSTEM VALUE VALUES (50, 'm', 3)"
        " ON CONFLICT DO NOTHING",
        f"""WITH added AS (INSERT INTO focal.rules (tenant_id, id, agent_id, name, condition_text,
        condition_embedding_model, condition_embedding_space_id) SELECT '{tenant}', gen_random_uuid(), '{AGENT}', 'n',
        'c', 'm', 50 FROM generate_series(1, {rows}) RETURNING id) INSERT INTO focal.rule_vectors
        SELECT '{tenant}', id, 50, '{AGENT}', ARRAY[random(), random(), 0.1]::vector FROM added""",
    )


def listed(url: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(focal("list", "--url", url, "--json").output)}


def test_create_list_drop(url: str) -> None:
    """An index is built over the tables asked for, shown with its size, left alone the second time, and dropped."""
    fill(url, 200, TENANT)
    only = ("--model", "m", "--dims", "3", "--table", "rule_vectors", "--url", url)

    for _ in range(2):
        built = focal("create", *only)
        assert built.exit_code == 0
        assert "hnsw_rule_vectors_50 is valid" in built.output
    assert focal("create", *only, "--tenant", str(TENANT)).exit_code == 0

    found = listed(url)
    assert found["hnsw_rule_vectors_50"]["rows"] == 200
    assert found["hnsw_rule_vectors_50"]["valid"]
    assert found[f"hnsw_rule_vectors_50_{TENANT.hex}"]["tenant"] == str(TENANT)
    assert "hnsw_rule_vectors_50" in focal("list", "--url", url).output
    assert "rule_vectors: dropped" in focal("drop", *only).output
    assert "no such index" in focal("drop", *only).output
    assert f"hnsw_rule_vectors_50_{TENANT.hex}" in listed(url)
    assert "hnsw_rule_vectors_50" not in listed(url)


def test_all_tables_and_a_new_space(url: str) -> None:
    """Without a table every side table gets its index, for a space that has no vectors yet as well."""
    done = json.loads(focal("create", "--model", "new", "--dims", "8", "--url", url, "--json").output)

    assert {one["table"] for one in done} == {"rule_vectors", "scenario_vectors", "episode_vectors", "entity_vectors"}
    assert all(one["valid"] and one["model"] == "new" and one["dims"] == 8 for one in done)


def test_interrupted_build_is_built_anew(url: str) -> None:
    """What a cancelled build has left is shown as invalid, and replaced by the next one."""
    fill(url, 50, TENANT)
    only = ("--model", "m", "--dims", "3", "--table", "rule_vectors", "--url", url)
    assert focal("create", *only).exit_code == 0
    execute(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'focal.hnsw_rule_vectors_50'::regclass")
    assert not listed(url)["hnsw_rule_vectors_50"]["valid"]
    assert "invalid" in focal("list", "--url", url).output

    assert focal("create", *only).exit_code == 0

    assert listed(url)["hnsw_rule_vectors_50"]["valid"]


def test_refusals(url: str) -> None:
    """A table without vectors and vectors that no index takes end in exit code 2, with what to do."""
    for arguments in (("--dims", "4001"), ("--dims", "3", "--table", "rules")):
        refused = focal("create", "--model", "m", *arguments, "--url", url)
        assert refused.exit_code == 2
        assert "hint:" in refused.output


def test_advice(url: str) -> None:
    """A tenant with many vectors that are a small share of the index is named, until it has its own."""
    fill(url, 300, TENANT)
    fill(url, 3_000, OTHER)
    options = PostgresOptions.model_validate({"url": url, "exact_search_max_rows": 200})

    (advice,) = asyncio.run(index.advise(options))

    assert (advice.tenant, advice.rows, advice.model, round(advice.share, 2)) == (TENANT, 300, "m", 0.09)
    asyncio.run(index.create_index(options, "rule_vectors", "m", 3, TENANT))
    assert asyncio.run(index.advise(options)) == []
    assert "no tenant needs" in focal("advise", "--url", url).output


def test_progress_is_told(url: str) -> None:
    """A build tells its phase and how far it is, never beyond the whole."""
    fill(url, 30_000, TENANT)
    told: list[tuple[str, float | None]] = []
    options = PostgresOptions.model_validate({"url": url})

    asyncio.run(
        index.create_index(options, "rule_vectors", "m", 3, progress=lambda phase, done: told.append((phase, done)))
    )

    assert told
    assert all(done is None or 0.0 <= done <= 1.0 for _, done in told)
