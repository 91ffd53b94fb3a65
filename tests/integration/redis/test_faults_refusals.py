"""What the server itself refuses: the error says which, nothing is written, and what can be repeated safely is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.exceptions import RedisError
from tests.integration.calls import LONG, SHORT, ended, shown, until
from tests.integration.redis.faulty import BY_NAME, METHODS, READS, WRITES, Method, Worlds, open_lane, open_worlds
from tests.integration.redis.support import open_client

from focal_core.context import BackendContext
from focal_core.errors import OutcomeUnknownError, StoreError, StoreUnavailableError
from focal_redis.conversation import RedisSessionStore
from focal_testkit.servers.redis import DURABLE, LocalRedis
from focal_testkit.servers.redis_fixtures import StartRedis

pytestmark = pytest.mark.asyncio
SAVES = [one for one in WRITES if one.name.startswith("save") and one.name != "save, stale"]
WITHOUT_WRITING = [one for one in READS if one.name not in ("get", "get, demoted", "get, absent", "get_by_channel")]
"""Reads that count as no use: they put nothing into the hot tier, and extend no time there."""


@asynccontextmanager
async def refusing(worlds: Worlds, **options: Any) -> AsyncIterator[Callable[..., Any]]:
    """Yield what checks that a method is refused with a code, and that nothing is written."""
    async with open_client(
        worlds.server.url, BackendContext(clock=worlds.clock), key_prefix=worlds.prefix, **{"deadline": LONG, **options}
    ) as client:
        store = RedisSessionStore(client, client.context)
        tenant = await worlds.tenant()
        for method in METHODS:
            # Every script is known to the server, so that nothing has to be told while it refuses.
            await method.call(store, await worlds.tenant(method))
        await worlds.forget(tenant)
        yield lambda method, tenant, code: _refused(worlds, store, method, tenant, code)


async def _refused(worlds: Worlds, store: Any, method: Method, tenant: Any, code: str | None) -> None:
    before = await worlds.stored(tenant)
    how = await ended(method.call(store, tenant), LONG)
    now = await worlds.stored(tenant)
    if code is None:
        assert how.error is None, (method, how)
        return
    assert isinstance(how.error, StoreUnavailableError), (method, how)
    assert not isinstance(how.error, OutcomeUnknownError), (method, how)
    assert how.error.code == code, (method, how.error)
    assert now == before, method


async def _each(worlds: Worlds, methods: Iterable[Method]) -> list[tuple[Method, Any]]:
    return [(one, await worlds.tenant(one)) for one in methods]


async def test_a_full_server_refuses_saves_and_still_answers(private_redis: LocalRedis) -> None:
    """OOM with noeviction: what needs memory is refused before anything is written, the rest goes on."""
    async with open_worlds(private_redis, "focal") as worlds, refusing(worlds) as check:
        others = await _each(worlds, [*WITHOUT_WRITING, BY_NAME["get"], BY_NAME["delete"]])
        saves, promoting = await _each(worlds, SAVES), await _each(worlds, [BY_NAME["get, demoted"]])
        private_redis.configure(maxmemory=1, maxmemory_policy="noeviction")
        for method, tenant in [*saves, *promoting]:
            await check(method, tenant, "out_of_memory")
        for method, tenant in others:
            await check(method, tenant, None)
        private_redis.configure(maxmemory=0)
        for method, tenant in [*saves, *promoting]:
            await check(method, tenant, None)


async def test_too_few_replicas_refuse_writes(private_redis: LocalRedis) -> None:
    """NOREPLICAS: with ``min-replicas-to-write`` and no replica what writes is refused whole, the rest goes on.

    A primary without its replicas may be one that the others have replaced: that use is refused too is as well.
    """
    async with open_worlds(private_redis, "focal") as worlds, refusing(worlds) as check:
        promoting = [one for one in READS if one not in WITHOUT_WRITING and one.name != "get, absent"]
        writes, reads = await _each(worlds, [*SAVES, *promoting]), await _each(worlds, WITHOUT_WRITING)
        private_redis.configure(min_replicas_to_write=1)
        for method, tenant in writes:
            await check(method, tenant, "no_replicas")
        for method, tenant in reads:
            await check(method, tenant, None)
        private_redis.configure(min_replicas_to_write=0)
        for method, tenant in writes:
            await check(method, tenant, None)


async def test_a_replica_refuses_writes(private_redis: LocalRedis) -> None:
    """READONLY: an address that has become a replica's; the code says so, and nothing is written."""
    async with open_worlds(private_redis, "focal") as worlds, refusing(worlds) as check:
        saves = await _each(worlds, SAVES)
        with private_redis.client() as redis:
            # Of nobody that answers, so that its data stay and can be compared.
            redis.execute_command("REPLICAOF", "127.0.0.1", 1)
            for method, tenant in saves:
                await check(method, tenant, "read_only")
            redis.execute_command("REPLICAOF", "NO", "ONE")
        for method, tenant in saves:
            await check(method, tenant, None)


async def test_a_server_that_loads_its_data_is_waited_for_by_the_caller(start_redis: StartRedis) -> None:
    """LOADING: a plain StoreUnavailableError, retryable, for logins and calls; then everything is there."""
    server = start_redis({**DURABLE, "key-load-delay": "50"})
    with server.client() as redis, redis.pipeline(transaction=False) as pipe:
        # It answers, once in a while, from the thousandth command on.
        for n in range(10_000):
            pipe.set(f"ballast:{n}", n)
        pipe.execute()
    async with open_worlds(server, "focal") as worlds, open_lane(worlds, LONG) as lane:
        tenant = await worlds.tenant()
        starting = asyncio.ensure_future(asyncio.to_thread(server.restart))
        codes: set[str] = set()
        while not starting.done() or not codes:
            how = await ended(BY_NAME["save, again"].call(lane.store, tenant), LONG)
            if how.error is not None:
                assert isinstance(how.error, StoreUnavailableError), how
                assert how.error.retryable, how
                codes.add(how.error.code)
            elif "loading" in codes:
                break
            await asyncio.sleep(0.01)
        await starting
        assert "loading" in codes, codes
        assert await BY_NAME["get"].call(lane.store, tenant)


async def test_a_server_busy_with_a_script_refuses(private_redis: LocalRedis) -> None:
    """BUSY: somebody else's script runs on and on; writes are refused, and done after it was killed."""
    private_redis.configure(lua_time_limit=20)
    async with open_worlds(private_redis, "focal") as worlds, refusing(worlds) as check:
        writes = await _each(worlds, SAVES)
        tenant = writes[0][1]
        async with open_lane(worlds, LONG) as lane:
            running = asyncio.ensure_future(asyncio.to_thread(_endless, private_redis))
            with private_redis.client() as redis:

                def busy() -> bool:
                    try:
                        redis.execute_command("GET", "anything")
                    except RedisError as error:
                        return "BUSY" in str(error)
                    return False

                await until(busy)
                for method, _ in writes:
                    how = await ended(method.call(lane.store, tenant), LONG)
                    assert isinstance(how.error, StoreUnavailableError), (method, how)
                    assert not isinstance(how.error, OutcomeUnknownError), (method, how)
                    assert how.error.code == "busy", (method, how)
                redis.execute_command("SCRIPT", "KILL")
            await running
        for method, owner in writes:
            await check(method, owner, None)


def _endless(server: LocalRedis) -> None:
    with server.client(socket_timeout=LONG) as redis, suppress(RedisError):
        redis.execute_command("EVAL", "while true do end", 0)


async def test_a_server_that_cannot_snapshot_refuses_writes(start_redis: StartRedis) -> None:
    """MISCONF: the disk is not written any more; saves are refused whole until it is."""
    server = start_redis({"save": "3600 1000000", "appendonly": "no", "stop-writes-on-bgsave-error": "yes"})
    async with open_worlds(server, "focal") as worlds, refusing(worlds) as check:
        saves = await _each(worlds, SAVES)
        # A folder in the place of the file.
        (server.folder / "dump.rdb").mkdir()
        with server.client() as redis:
            redis.execute_command("BGSAVE")
            await until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
            for method, tenant in saves:
                await check(method, tenant, "misconf")
            (server.folder / "dump.rdb").rmdir()
            redis.execute_command("BGSAVE")
            await until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")
        for method, tenant in saves:
            await check(method, tenant, None)


async def test_a_wrong_password_is_no_outage_to_be_waited_for(private_redis: LocalRedis) -> None:
    """WRONGPASS and NOAUTH at opening, and after the password was changed under a running client."""
    address = f"127.0.0.1:{private_redis.port}"
    for url in (f"redis://:wrong@{address}/0", f"redis://{address}/0"):
        with pytest.raises(StoreUnavailableError) as caught:
            async with open_client(url, BackendContext()):
                pass
        assert caught.value.code == "login_refused"
        assert not caught.value.retryable
        assert "wrong" not in str(caught.value)
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, LONG) as lane:
        tenants = await _each(worlds, METHODS)
        before = [await worlds.stored(tenant) for _, tenant in tenants]
        private_redis.configure(requirepass="another")
        lane.proxy.cut()
        await _noticed(lane)
        for method, tenant in tenants:
            how = await ended(method.call(lane.store, tenant), LONG)
            assert isinstance(how.error, StoreUnavailableError), (method, how)
            assert not isinstance(how.error, OutcomeUnknownError), (method, how)
            assert how.error.code == "login_refused"
            assert not how.error.retryable
        assert [await worlds.stored(tenant) for _, tenant in tenants] == before


async def _noticed(lane: Any) -> None:
    """Wait until the client has noticed that its idle connections are closed."""
    (endpoint,) = lane.client.endpoints
    await until(lambda: all(one.is_closed() for one in endpoint.pool._idle))


async def test_a_user_without_the_right_is_told_so(private_redis: LocalRedis) -> None:
    """NOPERM: neither an outage nor a crash; ``permission_denied``, nothing written."""
    async with open_worlds(private_redis, "focal") as worlds:
        with private_redis.client() as redis:
            redis.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection", "+ping")
        url = f"redis://reader:secret@127.0.0.1:{private_redis.port}/0"
        async with open_client(url, BackendContext(clock=worlds.clock), key_prefix="focal") as client:
            store = RedisSessionStore(client, client.context)
            for method, tenant in await _each(worlds, SAVES):
                before = await worlds.stored(tenant)
                how = await ended(method.call(store, tenant), LONG)
                assert isinstance(how.error, StoreError), (method, how)
                assert how.error.code == "permission_denied", (method, how)
                assert not how.error.retryable
                assert await worlds.stored(tenant) == before


async def test_a_server_without_room_for_connections_is_overloaded(private_redis: LocalRedis) -> None:
    """``max number of clients``: code ``overloaded``, retryable, nothing written."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, LONG) as lane:
        tenant = await worlds.tenant()
        with private_redis.client() as redis:
            redis.ping()
            private_redis.configure(maxclients=2)
            lane.proxy.cut()
            await _noticed(lane)
            how = await ended(BY_NAME["save"].call(lane.store, tenant), LONG)
            redis.execute_command("CONFIG", "SET", "maxclients", 1000)
        assert getattr(how.error, "code", None) == "overloaded", how
        assert how.error.retryable  # type: ignore[union-attr]
        await BY_NAME["save"].call(lane.store, tenant)


async def test_forgotten_scripts_are_sent_again(private_redis: LocalRedis) -> None:
    """NOSCRIPT: after SCRIPT FLUSH every method answers as before; nobody notices."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, LONG) as lane:
        with private_redis.client() as redis:
            for method in METHODS:
                clean = await worlds.tenant(method)
                answer = shown(await method.call(lane.store, clean)).replace(str(clean), "")
                flushed = await worlds.tenant(method)
                redis.execute_command("SCRIPT", "FLUSH")
                again = shown(await method.call(lane.store, flushed)).replace(str(flushed), "")
                assert again == answer, method
                assert await worlds.stored(flushed) == await worlds.stored(clean), method


async def test_scripts_forgotten_under_load_disturb_nobody(private_redis: LocalRedis) -> None:
    """NOSCRIPT within shared pipelines: 400 calls while the scripts are flushed again and again, without an error."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, 30.0, pool_size=4) as lane:
        tenants = [await worlds.tenant() for _ in range(40)]
        ended_all = False

        def flush() -> None:
            with private_redis.client() as redis:
                while not ended_all:
                    redis.execute_command("SCRIPT", "FLUSH")

        flushing = asyncio.ensure_future(asyncio.to_thread(flush))
        try:

            async def work(tenant: Any) -> None:
                for _ in range(10):
                    await BY_NAME["save, again"].call(lane.store, tenant)

            await asyncio.gather(*map(work, tenants))
        finally:
            ended_all = True
            await flushing
        for tenant in tenants:
            session = await BY_NAME["get"].call(lane.store, tenant)
            assert (session.version, session.turn_count) == (11, 10)


async def test_idle_connections_that_the_server_closed_cost_nothing(private_redis: LocalRedis) -> None:
    """CLIENT KILL of every idle connection: reads succeed at once, writes once the loop has run."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, LONG) as lane:
        for method in METHODS:
            await lane.probe()
            tenant = await worlds.tenant(method)
            with private_redis.client() as redis:
                killed = redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert killed > 0
            if not method.reads:
                await _noticed(lane)
            await method.call(lane.store, tenant)


async def test_a_key_of_another_kind_is_refused_before_anything_is_written(private_redis: LocalRedis) -> None:
    """WRONGTYPE: checks come before the first write, since a script is not rolled back; no half-written session."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, LONG) as lane:
        for where in ("persist:", "hot:", "index:agent:", "index:customer:", "index:channel:", "all"):
            for method in [BY_NAME["save, again"], BY_NAME["delete"]]:
                tenant = await worlds.tenant()
                with private_redis.client() as redis:
                    names: Any = redis.keys(f"focal:{{{tenant}}}:session:{where}*")
                    assert names, where
                    for name in names:
                        redis.delete(name)
                        redis.rpush(name, "not ours")
                    before = {name: redis.dump(name) for name in redis.keys(f"focal:{{{tenant}}}*")}
                    how = await ended(method.call(lane.store, tenant), LONG)
                    now = {name: redis.dump(name) for name in redis.keys(f"focal:{{{tenant}}}*")}
                if how.error is not None:
                    assert isinstance(how.error, StoreError), (where, method, how)
                    assert now == before, (where, method, how)


async def test_control_a_refusal_taken_for_an_answer_is_reported(
    private_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a client that does not know the word OOM raises what is no outage."""
    from focal_redis import errors

    monkeypatch.delitem(errors._REFUSED, "OOM")
    async with open_worlds(private_redis, "focal") as worlds, refusing(worlds) as check:
        tenant = await worlds.tenant()
        private_redis.configure(maxmemory=1)
        with pytest.raises(AssertionError):
            await check(BY_NAME["save"], tenant, "out_of_memory")


async def test_a_paused_server_is_no_answer_and_then_one(private_redis: LocalRedis) -> None:
    """SIGSTOP: calls end by their deadline, and once it runs on the client serves again by itself."""
    async with open_worlds(private_redis, "focal") as worlds, open_lane(worlds, SHORT) as lane:
        tenant = await worlds.tenant()
        private_redis.pause()
        try:
            read = await ended(BY_NAME["get"].call(lane.store, tenant), SHORT)
            write = await ended(BY_NAME["delete"].call(lane.store, tenant), SHORT)
        finally:
            private_redis.resume()
        assert isinstance(read.error, StoreUnavailableError), read
        assert not isinstance(read.error, OutcomeUnknownError), read
        assert isinstance(write.error, StoreUnavailableError), write
        assert max(read.late, write.late) < 0.25
        await until(lambda: _serves(lane), LONG)


async def _serves(lane: Any) -> bool:
    try:
        await lane.probe()
    except StoreUnavailableError:
        return False
    return True
