"""Task contexts, and what every value that is kept goes through: the codec, copies, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import BaseModel

from focal_core.context import BackendContext, Limits
from focal_core.errors import InvalidDataError
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.runtime import KEPT, REFUSED, SESSION, THREAD, USER, Colour, Level, deep, typed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS

Put = Callable[[Any, Any], Awaitable[Any]]
Take = Callable[[Any], Awaitable[Any]]


async def _put_session(store: Any, value: Any) -> None:
    await store.create_session(SESSION, USER, {"value": value}, tenant_id=OURS)


async def _put_update(store: Any, value: Any) -> None:
    await store.create_session("updated", USER, tenant_id=OURS)
    await store.update_session("updated", {"value": value}, tenant_id=OURS)


async def _take_session(store: Any, session_id: str = SESSION) -> Any:
    session = await store.get_session(session_id, tenant_id=OURS)
    return session and session["metadata"].get("value")


async def _take_message(store: Any) -> Any:
    history = await store.get_conversation_history(SESSION, tenant_id=OURS)
    return history and history[0]["metadata"]["value"]


async def _take_checkpoint(store: Any, key: str) -> Any:
    point = await store.get_checkpoint(THREAD, "c1", tenant_id=OURS)
    return point and point[key]["value"]


async def _take_write(store: Any) -> Any:
    writes = await store.get_writes(THREAD, "c2", tenant_id=OURS)
    return writes and writes[0][1]


PLACES: dict[str, tuple[Put, Take]] = {
    "session": (_put_session, _take_session),
    "update": (_put_update, lambda store: _take_session(store, "updated")),
    "message": (
        lambda store, value: store.add_conversation_message(SESSION, "user", "", {"value": value}, tenant_id=OURS),
        _take_message,
    ),
    "checkpoint_data": (
        lambda store, value: store.store_checkpoint(THREAD, "c1", {"value": value}, tenant_id=OURS),
        lambda store: _take_checkpoint(store, "checkpoint_data"),
    ),
    "checkpoint_metadata": (
        lambda store, value: store.store_checkpoint(THREAD, "c1", {"value": 0}, {"value": value}, tenant_id=OURS),
        lambda store: _take_checkpoint(store, "metadata"),
    ),
    "write": (
        lambda store, value: store.put_writes(THREAD, "c2", "task", [("channel", value)], tenant_id=OURS),
        _take_write,
    ),
    "context": (
        lambda store, value: store.store_task_context(SESSION, value, tenant_id=OURS),
        lambda store: store.get_task_context(SESSION, tenant_id=OURS),
    ),
}
"""Every place a value can be kept: how it gets in and out."""


class Inner(BaseModel):
    """A model within a dataclass."""

    level: Level
    pair: tuple[int, str]


@dataclass
class Outer:
    """A dataclass within a context."""

    inner: Inner
    names: list[str]


class ValueContract(ContractBase):
    """The runtime codec in every place (INV-RT1), and ``store_task_context``, ``get_task_context``."""

    @requirement("RUNTIME-050", since="1.0")
    async def test_task_context_round_trip_returns_true(self, store: RuntimeStore) -> None:
        """A context of any type comes back; a second one replaces it; storing returns True, an unknown one is None.

        If this fails: contexts are merged, only dicts are taken, or a session is demanded.
        """
        assert await store.get_task_context(SESSION, tenant_id=OURS) is None
        contexts: list[Any] = [{"a": 1}, [1, (2,)], "text", 7, {"b": 2}]

        for context in contexts:
            assert await store.store_task_context(SESSION, context, tenant_id=OURS) is True
            assert await store.get_task_context(SESSION, tenant_id=OURS) == context

        assert await store.get_task_context("unknown", tenant_id=OURS) is None

    @requirement("RUNTIME-051", since="1.0")
    async def test_task_context_models_become_plain(self, store: RuntimeStore) -> None:
        """Models and dataclasses within a context come back as dicts of their fields, at every depth.

        If this fails: they are refused, stringified or pickled.
        """
        inner = Inner(level=Level.HIGH, pair=(1, "a"))
        await store.store_task_context(SESSION, {"x": [Outer(inner, ["n"])], "m": inner}, tenant_id=OURS)

        found = await store.get_task_context(SESSION, tenant_id=OURS)

        plain = {"level": 3, "pair": (1, "a")}
        assert found == {"x": [{"inner": plain, "names": ["n"]}], "m": plain}
        assert type(found["m"]["level"]) is int
        assert type(found["m"]["pair"]) is tuple

    @pytest.mark.parametrize("place", PLACES)
    @requirement("RUNTIME-052", since="1.0")
    async def test_codec_keeps_types(self, store: RuntimeStore, place: str) -> None:
        """Tuples, bytes, sets, times, UUIDs, decimals and every JSON value come back equal and of the same type.

        If this fails: a type has no form in the store, or data that look like the store's own are taken for it.
        """
        put, take = PLACES[place]

        await put(store, KEPT)

        assert typed(await take(store)) == typed(KEPT)

    @pytest.mark.parametrize("place", PLACES)
    @requirement("RUNTIME-053", since="1.0")
    async def test_codec_takes_enum_values(self, store: RuntimeStore, place: str) -> None:
        """An Enum member comes back as its value, whatever type that is.

        If this fails: members are refused, stringified or pickled.
        """
        put, take = PLACES[place]

        await put(store, {"colour": Colour.RED, "levels": (Level.HIGH,)})

        assert typed(await take(store)) == typed({"colour": (1, 2), "levels": (3,)})

    @pytest.mark.parametrize("place", PLACES)
    @requirement("RUNTIME-054", since="1.0")
    async def test_codec_refuses_unknown(self, store: RuntimeStore, place: str) -> None:
        """Whatever else is refused with InvalidDataError, and nothing of it is stored.

        If this fails: an object is pickled, stringified or dropped.
        """
        put, take = PLACES[place]

        for name, value in {**REFUSED, "deep": deep(66)}.items():
            with pytest.raises(InvalidDataError):
                await put(store, {"value": value})
            assert not await take(store), name

    @pytest.mark.parametrize("place", PLACES)
    @requirement("RUNTIME-055", since="1.0")
    async def test_no_aliasing(self, store: RuntimeStore, place: str) -> None:
        """Changing what was stored or what was read changes nothing in the store (INV-00).

        If this fails: the store keeps the caller's containers, or hands out its own.
        """
        put, take = PLACES[place]
        value = {"list": [1], "dict": {"a": {}}}
        await put(store, value)

        value["list"].append(2)  # type: ignore[attr-defined]
        found = await take(store)
        found["dict"]["a"]["b"] = 1
        found["more"] = 1

        assert await take(store) == {"list": [1], "dict": {"a": {}}}

    @requirement("RUNTIME-056", since="1.0")
    async def test_size_limits(self, context: BackendContext) -> None:
        """Metadata, documents and texts beyond their limits are refused with their own codes, at them they are kept.

        If this fails: a limit is ignored, or another one is applied.
        """
        limits = Limits(text_chars=10, document_bytes=400, metadata_bytes=100, list_items=3)
        small, large, huge = {"k": "x" * 92}, {"k": "x" * 93}, {"k": "x" * 393}
        async with self.open_store(replace(context, limits=limits)) as store:
            taken = [
                store.create_session(SESSION, USER, small, tenant_id=OURS),
                store.add_conversation_message(SESSION, "user", "x" * 10, small, tenant_id=OURS),
                store.store_checkpoint(THREAD, "c1", large, small, tenant_id=OURS),
                store.put_writes(THREAD, "c1", "task", [(1,), (2,), (3,)], tenant_id=OURS),
                store.store_task_context(SESSION, large, tenant_id=OURS),
            ]
            refused = {
                "metadata_too_large": [
                    store.create_session(SESSION, USER, large, tenant_id=OURS),
                    store.create_session(SESSION, USER, huge, tenant_id=OURS),
                    store.update_session(SESSION, {"more": 1}, tenant_id=OURS),
                    store.add_conversation_message(SESSION, "user", "x", large, tenant_id=OURS),
                    store.store_checkpoint(THREAD, "c1", {}, large, tenant_id=OURS),
                ],
                "document_too_large": [
                    store.store_checkpoint(THREAD, "c1", huge, tenant_id=OURS),
                    store.put_writes(THREAD, "c1", "task", [(huge,)], tenant_id=OURS),
                    store.store_task_context(SESSION, huge, tenant_id=OURS),
                ],
                "text_too_long": [store.add_conversation_message(SESSION, "user", "x" * 11, tenant_id=OURS)],
                "too_many_items": [store.put_writes(THREAD, "c1", "task", [()] * 4, tenant_id=OURS)],
            }

            for call in taken:
                assert await call
            for code, calls in refused.items():
                for call in calls:
                    with pytest.raises(InvalidDataError) as caught:
                        await call
                    assert caught.value.code == code
