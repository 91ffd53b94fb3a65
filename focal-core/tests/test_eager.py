"""What begins at once goes on as any task does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any

import pytest

from focal_core.eager import begin

pytestmark = pytest.mark.asyncio

VARIABLE: ContextVar[str] = ContextVar("variable", default="nothing")


def begun(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
    return begin(coroutine, asyncio.get_running_loop(), Context())


async def test_it_runs_up_to_its_first_wait() -> None:
    log, reply = [], asyncio.get_running_loop().create_future()

    async def work() -> str:
        log.append("begun")
        log.append(await reply)
        await asyncio.sleep(0)
        return "done"

    task = begun(work())
    assert task is not None
    assert log == ["begun"]
    reply.set_result("replied")
    assert await task == "done"
    assert log == ["begun", "replied"]


async def test_what_does_not_wait_has_no_task() -> None:
    async def work() -> None:
        pass

    async def refused() -> None:
        raise ValueError("at once")

    assert begun(work()) is None
    with pytest.raises(ValueError, match="at once"):
        begun(refused())


async def test_errors_come_in_and_go_out() -> None:
    reply = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await reply
        except ValueError:
            await asyncio.sleep(0)
            raise KeyError("told") from None

    task = begun(work())
    assert task is not None
    reply.set_exception(ValueError())
    with pytest.raises(KeyError, match="told"):
        await task


@pytest.mark.parametrize("turns", [0, 2])
async def test_it_can_be_cancelled(turns: int) -> None:
    cleared = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            cleared.append(True)

    task = begun(work())
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleared == [True]


async def test_it_has_a_context_of_its_own() -> None:
    seen = []

    async def work() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("inside")
        await asyncio.sleep(0)
        seen.append(VARIABLE.get())

    VARIABLE.set("outside")
    task = begun(work())
    assert task is not None
    await task
    assert seen == ["nothing", "inside"]
    assert VARIABLE.get() == "outside"
