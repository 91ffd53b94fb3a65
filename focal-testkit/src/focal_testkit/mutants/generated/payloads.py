"""Stores that alter, trust or halve what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.context import BackendContext, Limits
from focal_core.inmemory.table import Table
from focal_testkit.mutants import mutant


@mutant("STORE-010")
class LosesTheSavedField(InMemoryAuditStore):
    """latency_ms has no place in the store."""

    async def save_turn(self, turn: TurnRecord) -> UUID:
        return await super().save_turn(turn.model_copy(update={"latency_ms": None}))


@mutant("STORE-013")
class StripsText(InMemoryAuditStore):
    """Text is stripped and loses its NULs and lone surrogates."""

    async def save_turn(self, turn: TurnRecord) -> UUID:
        text = turn.user_message.replace("\x00", "").encode("utf-8", "ignore").decode().strip()
        return await super().save_turn(turn.model_copy(update={"user_message": text}))


@mutant("STORE-014")
class FoldsIdentifiers(InMemoryAuditStore):
    """The type of an event is folded to lower case ASCII."""

    async def save_event(self, event: AuditEvent) -> UUID:
        kind = event.event_type.encode("ascii", "ignore").decode().lower() or "x"
        return await super().save_event(event.model_copy(update={"event_type": kind}))


@mutant("STORE-015")
class FloatsBecomeIntegers(InMemoryAuditStore):
    """Integral floats in JSON come back as integers."""

    async def save_event(self, event: AuditEvent) -> UUID:
        data = {
            key: int(value) if isinstance(value, float) and value.is_integer() else value
            for key, value in event.event_data.items()
        }
        return await super().save_event(event.model_copy(update={"event_data": data}))


@mutant("STORE-016")
class TrustsTheCaller(InMemoryAuditStore):
    """Records are stored as they are."""

    def _append(self, table: Table[Any], record: Any, check: Callable[[Any], None] | None = None) -> UUID:
        record.set_stored(recorded_at=self.context.clock.now())
        table.put(record)
        return record.id  # type: ignore[no-any-return]


@mutant("STORE-031")
class WritesInTwoSteps(InMemoryAuditStore):
    """The text of a turn is written in a second step."""

    async def save_turn(self, turn: TurnRecord) -> UUID:
        saved = await super().save_turn(turn.model_copy(update={"user_message": ""}))
        await asyncio.sleep(0)
        self._turns.put(turn)
        return saved


@mutant("STORE-017")
class LimitsOfItsOwn(InMemoryAuditStore):
    """The limits are constants of the store."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(None if context is None else replace(context, limits=Limits()))
