"""Both parsers of the driver, the one in C and the one in Python, give the same replies."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser
from redis.exceptions import ResponseError
from tests.integration.redis.support import open_client

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.errors import StoreError
from focal_redis import connection
from focal_redis.conversation import RedisSessionStore
from focal_redis.script import Script
from focal_testkit.servers.redis import RedisServer

REPLIES = Script.of("replies", b"return {KEYS[1], ARGV[1], 7, false, {1, {'nested'}}, string.rep('x', 70000)}")
REFUSED = Script.of("refused", b"return redis.error_reply('OOM no memory left')")


@pytest.fixture(params=[_AsyncHiredisParser, _AsyncRESP2Parser], ids=["hiredis", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The parser that connections use."""
    monkeypatch.setattr(connection, "_Parser", type("_Parser", (request.param,), {"EXCEPTION_CLASSES": {}}))
    return request.param


@pytest.mark.asyncio
async def test_replies_of_every_kind(parser: Any, redis_server: RedisServer, redis_prefix: str) -> None:
    """Bulk strings of any bytes and size, integers, nothing, nested lists, and errors with their first word."""
    key = f"{redis_prefix}:\x00ü".encode()
    async with open_client(redis_server.url, BackendContext()) as client:
        reply = await client.run("test", REPLIES, [key], [b"\xff\r\n\x00"], writes=False)
        assert reply == [key, b"\xff\r\n\x00", 7, None, [1, [b"nested"]], b"x" * 70_000]
        with pytest.raises(StoreError) as caught:
            await client.run("test", REFUSED, [key], writes=True)

    assert caught.value.code == "out_of_memory"
    assert not isinstance(caught.value.__cause__, ResponseError)


@pytest.mark.asyncio
async def test_a_session_is_kept(parser: Any, redis_server: RedisServer, redis_prefix: str) -> None:
    """Saving, reading, listing and deleting, over either parser."""
    session = Session(
        tenant_id=uuid4(), agent_id=uuid4(), channel="api", user_channel_id="ü", variables={"big": "x" * 100_000}
    )
    context = BackendContext()
    async with open_client(redis_server.url, context, key_prefix=redis_prefix) as client:
        store = RedisSessionStore(client, context)
        await store.save(session)
        assert await store.get(session.session_id, tenant_id=session.tenant_id) == session
        assert list(await store.list_by_agent(session.tenant_id, session.agent_id)) == [session]
        assert await store.delete(session.session_id, tenant_id=session.tenant_id)
        assert await store.get(session.session_id, tenant_id=session.tenant_id) is None
