"""Redis stores that run broken scripts, for ``--sql-mutants`` of the kit's mutant runner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from focal_core.errors import StoreError
from focal_redis.client import RedisClient
from focal_redis.script import Script
from focal_testkit.mutants.sql import SqlMutant, Trace


@contextmanager
def broken_scripts(mutant: SqlMutant) -> Iterator[Trace]:
    """Change the text of every script that a client runs, until exit."""
    trace, run = Trace(mutant), RedisClient.run

    async def run_broken(client: RedisClient, method: str, script: Script, *args: Any, **options: Any) -> Any:
        text = trace.apply(script.source.decode()).encode()
        try:
            return await run(client, method, Script.of(script.name, text), *args, **options)
        except StoreError as error:
            if text != script.source and error.code == "redis_error":
                trace.refused.append(str(error))
            raise

    with patch.object(RedisClient, "run", run_broken):
        yield trace
