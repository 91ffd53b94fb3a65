"""``focal db index``: vector indexes on the command line."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from focal_core.cli.output import print_json, print_table
from focal_postgres.cli import Backend, Config, Json, Url, exit_codes, options_for
from focal_postgres.spaces import VECTOR_TABLES

app = typer.Typer(no_args_is_help=True, help="Vector indexes: build, list, drop, advise.")

Model = Annotated[str, typer.Option(help="The embedding model, as rows name it.")]
Dims = Annotated[int, typer.Option(help="Length of its vectors.")]
Tenant = Annotated[UUID | None, typer.Option(help="The index of this tenant alone.")]
Tables = Annotated[list[str] | None, typer.Option("--table", help="One of the vector tables; all when omitted.")]


@app.command()
def create(
    model: Model,
    dims: Dims,
    tenant: Tenant = None,
    table: Tables = None,
    memory: Annotated[str | None, typer.Option(help="Memory of the build, such as 2GB.")] = None,
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Build the index of an embedding space; nobody is blocked, and a valid one is left as it is."""
    from rich.console import Console

    from focal_postgres import index

    with exit_codes():
        options = options_for(config, backend, url)
        built = []
        for name in table or VECTOR_TABLES:
            with Console(stderr=True).status(f"building the index over {name}") as status:

                def show(phase: str, done: float | None, name: str = name) -> None:
                    status.update(f"{name}: {phase}" + ("" if done is None else f", {done:.0%}"))

                built.append(
                    asyncio.run(index.create_index(options, name, model, dims, tenant, memory=memory, progress=show))
                )
        if as_json:
            print_json([asdict(one) for one in built])
        else:
            for one in built:
                typer.echo(f"index {one.name} is valid, {one.bytes / 1e6:.1f} MB")


@app.command("list")
def list_(config: Config = None, backend: Backend = None, url: Url = None, as_json: Json = False) -> None:
    """List the vector indexes with their state and size."""
    from focal_postgres import index

    with exit_codes():
        found = asyncio.run(index.list_indexes(options_for(config, backend, url)))
        if as_json:
            print_json([asdict(one) for one in found])
            return
        print_table(
            ["index", "model", "dims", "tenant", "state", "rows", "MB", "scans"],
            [
                (
                    one.name,
                    one.model,
                    one.dims,
                    one.tenant or "all",
                    "building" if one.building else "valid" if one.valid else "invalid",
                    one.rows,
                    f"{one.bytes / 1e6:.1f}",
                    one.scans,
                )
                for one in found
            ],
        )


@app.command()
def drop(
    model: Model,
    dims: Dims,
    tenant: Tenant = None,
    table: Tables = None,
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
) -> None:
    """Drop the index of an embedding space; searches then compare all vectors."""
    from focal_postgres import index

    with exit_codes():
        options = options_for(config, backend, url)
        for name in table or VECTOR_TABLES:
            done = asyncio.run(index.drop_index(options, name, model, dims, tenant))
            typer.echo(f"{name}: {'dropped' if done else 'no such index'}")


@app.command()
def advise(config: Config = None, backend: Backend = None, url: Url = None, as_json: Json = False) -> None:
    """Name the tenants that are better off with an index of their own; counts every vector."""
    from focal_postgres import index

    with exit_codes():
        found = asyncio.run(index.advise(options_for(config, backend, url)))
        if as_json:
            print_json([asdict(one) for one in found])
            return
        for one in found:
            typer.echo(
                f"{one.rows} vectors, {one.share:.0%} of the index: focal db index create --table {one.table}"
                f" --model {one.model} --dims {one.dims} --tenant {one.tenant}"
            )
        if not found:
            typer.echo("no tenant needs an index of its own")
