"""The Redis backend under the contract of backends, and what an operator meets when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from focal_core import Focal
from focal_core.errors import FocalError, SettingsError, StoreUnavailableError
from focal_testkit.contracts.backend import BackendContract
from focal_testkit.servers.redis import LocalRedis, RedisServer


def settings(url: str, **options: Any) -> dict[str, Any]:
    return {"stores": {"sessions": "fast"}, "backends": {"fast": {"use": "redis", "url": url, **options}}}


async def opening(url: str, **options: Any) -> FocalError:
    """Return the error that opening a Focal raises."""
    with pytest.raises(FocalError) as caught:
        async with Focal.open(settings(url, **options)):
            pass
    return caught.value


class TestRedisBackend(BackendContract):
    backend = "redis"
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def embedded(cls, servers_folder: Any) -> None:
        cls.url = f"embedded://{servers_folder / 'redis-backend'}"

    def options(self) -> Mapping[str, Any]:
        return {"url": self.url}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lambda url: url.replace(url.split(":")[2].split("@")[0], "wrong"), "login_refused"),
        (lambda url: f"{url.split('@')[0]}@127.0.0.1:1/0", "connect_failed"),
        (lambda url: url.removesuffix("/0") + "/4711", "connect_failed"),
        (lambda url: url.replace("redis://", "redis+cluster://").removesuffix("/0"), "cluster_down"),
    ],
    ids=["wrong password", "server down", "no such database", "no cluster"],
)
@pytest.mark.asyncio
async def test_connection_errors_name_cause_and_remedy(
    redis_server: RedisServer, broken: Callable[[str], str], code: str
) -> None:
    """Whatever is wrong with the address, the message says what, the hint how to mend it, neither the password."""
    url = broken(redis_server.url)

    error = await opening(url)

    assert isinstance(error, StoreUnavailableError)
    assert error.code == code
    assert error.hint
    password = redis_server.url.split(":")[2].split("@")[0]
    assert password not in f"{error} {error.hint} {error.details} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.asyncio
async def test_address_that_cannot_be_read_is_a_setting_error(redis_server: RedisServer) -> None:
    """An address that says nothing usable is refused before anything is opened."""
    assert isinstance(await opening("redis+sentinel://localhost"), SettingsError)


@pytest.mark.asyncio
async def test_health_names_what_a_crash_may_cost_and_what_eviction_does(private_redis: LocalRedis) -> None:
    """Health tells version, durability and an eviction policy that loses sessions."""
    async with Focal.open(settings(private_redis.url)) as focal:
        good = await focal.health()
        with private_redis.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        bad = await focal.health()

    assert good.status == "ok"
    assert private_redis.version in str(good.checks["fast.connection"].detail)
    assert "lose" in str(good.checks["fast.durability"].detail)
    assert not bad.checks["fast.eviction"].ok
    assert "noeviction" in str(bad.checks["fast.eviction"].detail)
    assert bad.status == "degraded"


@pytest.mark.asyncio
async def test_two_servers_share_the_tiers(redis_server: RedisServer, private_redis: LocalRedis) -> None:
    """With hot_url the sessions in use are on the second server too, and losing that one loses none."""
    from uuid import uuid4

    from focal_core.conversation.models import Session

    prefix = redis_server.new_prefix()
    options = {"hot_url": private_redis.url, "key_prefix": prefix}
    try:
        async with Focal.open(settings(redis_server.url, **options)) as focal:
            session = Session(tenant_id=uuid4(), agent_id=uuid4(), channel="api", user_channel_id="u")
            await focal.sessions.save(session)
            with private_redis.client() as client:
                assert len(list(client.scan_iter(f"{prefix}:*"))) == 1
                client.flushall()
            with redis_server.client() as client:
                kept = [key for key in client.scan_iter(f"{prefix}:*") if b":hot:" in key]
            assert not kept
            assert await focal.sessions.get(session.session_id, tenant_id=session.tenant_id) == session
            report = await focal.health()
    finally:
        redis_server.forget(prefix)

    assert {"fast.hot_connection", "fast.connection"} <= report.checks.keys()
