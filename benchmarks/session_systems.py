"""Sessions and audit as focal stores them, and as a careful person would by hand on asyncpg: the same six things."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from harness import options
from opponent import bare_pool

from focal_core.audit.models import TurnRecord
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel, Session, StepVisit
from focal_postgres.backend import PostgresBackend

LISTED = 50
STORED = {"version", "created_at", "last_activity_at", "expires_at"}
WEEK = timedelta(days=7)
_SCENARIO, _AGENT = uuid4(), uuid4()


def a_session(tenant: UUID, number: int) -> Session:
    """Return a session whose document has about 4 KB."""
    now = datetime.now(UTC)
    return Session(
        tenant_id=tenant,
        agent_id=_AGENT,
        channel=Channel.WEBCHAT,
        user_channel_id=f"user-{number}",
        customer_profile_id=uuid4(),
        variables={f"variable_{n}": f"value {n} that was collected in this conversation" for n in range(20)},
        variable_updated_at=dict.fromkeys([f"variable_{n}" for n in range(10)], now),
        active_scenario_id=_SCENARIO,
        active_scenario_version=1,
        current_step_id=uuid4(),
        step_history=[
            StepVisit(step_id=uuid4(), entered_at=now, turn_number=n, step_name=f"step {n}") for n in range(6)
        ],
        rule_fires={str(uuid4()): n for n in range(4)},
        metadata={"locale": "en-GB", "notes": "a line of the notes that an application keeps " * 12},
    )


def a_turn(tenant: UUID, session: UUID, number: int) -> TurnRecord:
    """Return a turn whose record has about 6 KB."""
    return TurnRecord(
        tenant_id=tenant,
        agent_id=_AGENT,
        session_id=session,
        turn_number=number,
        user_message="I would like to know where the order is that I placed last week. " * 8,
        assistant_response="Your order left our warehouse on Monday and will be with you tomorrow. " * 20,
        context_extracted={"intent": "order_status", "entities": [{"kind": "order", "text": "x" * 60}] * 8},
        rules_matched=tuple(uuid4() for _ in range(6)),
        tools_executed=[  # type: ignore[arg-type]
            {"tool_id": f"tool_{n}", "input": {"order": "A-17"}, "output": {"rows": [{"n": n, "text": "y" * 80}] * 6}}
            for n in range(3)
        ],
        tokens_used=1_234,
        latency_ms=812.5,
        extra={"trace": "z" * 300},
    )


class System(ABC):
    """What is compared: the same six things, however they are done."""

    name: str

    @abstractmethod
    async def load(self, tenant: UUID, session_id: UUID) -> Session:
        """Return a session."""

    @abstractmethod
    async def save(self, session: Session) -> None:
        """Store a loaded session by compare-and-swap; an error when another version is stored."""

    @abstractmethod
    async def append(self, turn: TurnRecord) -> None:
        """Append a turn."""

    @abstractmethod
    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:
        """Return a turn."""

    @abstractmethod
    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:
        """Return how many turns the first page of 50 of a session has, all of them read into models."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


class Focal(System):
    """The stores of the backend, as an application has them."""

    name = "focal"

    @classmethod
    async def open(cls, url: str, pool_size: int, **others: Any) -> Self:
        """Return it, connected; further options as of the backend."""
        self = cls()
        self._backend: Any = PostgresBackend(options(url, pool_size=pool_size, **others), BackendContext())
        await self._backend.open()
        self._sessions = self._backend.port("sessions")
        self._audit = self._backend.port("audit")
        return self

    async def load(self, tenant: UUID, session_id: UUID) -> Session:  # noqa: D102
        return await self._sessions.get(session_id, tenant_id=tenant)  # type: ignore[no-any-return]

    async def save(self, session: Session) -> None:  # noqa: D102
        await self._sessions.save(session)

    async def append(self, turn: TurnRecord) -> None:  # noqa: D102
        await self._audit.save_turn(turn)

    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:  # noqa: D102
        return await self._audit.get_turn(turn_id, tenant_id=tenant)  # type: ignore[no-any-return]

    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:  # noqa: D102
        return len(await self._audit.list_turns_by_session(session_id, LISTED, tenant_id=tenant))

    async def close(self) -> None:  # noqa: D102
        await self._backend.close()


class Bare(System):
    """asyncpg by hand."""

    name = "bare asyncpg"

    _LOAD = (
        "SELECT document, version, created_at, last_activity_at, expires_at FROM focal.sessions"
        " WHERE tenant_id = $1 AND session_id = $2 AND expires_at > $3"
    )
    _SAVE = (
        "UPDATE focal.sessions SET agent_id = $4, customer_profile_id = $5, channel = $6, channel_hash = $7,"
        " status = $8, active_scenario_id = $9, last_activity_at = $10, expires_at = $11, version = version + 1,"
        " document = $12 WHERE tenant_id = $1 AND session_id = $2 AND version = $3 RETURNING version"
    )
    _APPEND = (
        "INSERT INTO focal.turn_records (tenant_id, id, session_id, agent_id, turn_number, created_at, recorded_at,"
        " digest, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id"
    )
    _TURN = "SELECT payload, recorded_at FROM focal.turn_records WHERE tenant_id = $1 AND id = $2"
    _LIST = (
        "SELECT payload, recorded_at, turn_number FROM focal.turn_records WHERE tenant_id = $1 AND session_id = $2"
        " ORDER BY turn_number LIMIT $3 OFFSET 0"
    )

    @classmethod
    async def open(cls, url: str, pool_size: int) -> Self:
        """Return it, connected."""
        self = cls()
        self._pool: Any = await bare_pool(url, pool_size, bytes)
        return self

    async def load(self, tenant: UUID, session_id: UUID) -> Session:  # noqa: D102
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(self._LOAD, tenant, session_id, datetime.now(UTC))
        session = Session.model_validate_json(row["document"], extra="ignore")
        session.set_stored(
            version=row["version"],
            created_at=row["created_at"],
            last_activity_at=row["last_activity_at"],
            expires_at=row["expires_at"],
        )
        return session

    async def save(self, session: Session) -> None:  # noqa: D102
        now = datetime.now(UTC)
        channel = session.channel.value
        document = '{"schema_version":1,' + session.model_dump_json(exclude=STORED)[1:]
        async with self._pool.acquire() as connection:
            version = await connection.fetchval(
                self._SAVE,
                session.tenant_id,
                session.session_id,
                session.version,
                session.agent_id,
                session.customer_profile_id,
                channel,
                hashlib.sha256(f"{len(channel)}{channel}{session.user_channel_id}".encode()).digest(),
                session.status.value,
                session.active_scenario_id,
                now,
                min(now, session.created_at) + WEEK,
                document,
            )
        if version is None:
            raise RuntimeError("stale")

    async def append(self, turn: TurnRecord) -> None:  # noqa: D102
        payload = turn.model_dump_json(exclude={"recorded_at"})
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(
                self._APPEND,
                turn.tenant_id,
                turn.id,
                turn.session_id,
                turn.agent_id,
                turn.turn_number,
                turn.created_at,
                datetime.now(UTC),
                hashlib.sha256(payload.encode()).digest(),
                '{"schema_version":1,' + payload[1:],
            )
        if row is None:
            raise RuntimeError("duplicate")

    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:  # noqa: D102
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(self._TURN, tenant, turn_id)
        turn = TurnRecord.model_validate_json(row["payload"], extra="ignore")
        turn.set_stored(recorded_at=row["recorded_at"])
        return turn

    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:  # noqa: D102
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(self._LIST, tenant, session_id, LISTED + 1)
        turns = [TurnRecord.model_validate_json(row["payload"], extra="ignore") for row in rows[:LISTED]]
        for turn, row in zip(turns, rows, strict=False):
            turn.set_stored(recorded_at=row["recorded_at"])
        return len(turns)

    async def close(self) -> None:  # noqa: D102
        await self._pool.close()
