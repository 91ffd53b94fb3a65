"""The kit's Redis for tests: where it comes from, what a test may do to it, and what happens without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.integration.redis.support import AgeingClock, RedisStoreCase, open_client

from focal_core.context import BackendContext
from focal_redis.client import RedisClient
from focal_testkit.servers import ServerMissing
from focal_testkit.servers import redis as servers
from focal_testkit.servers.redis import ADDRESS, PROGRAM, LocalRedis, RedisServer, find_program
from focal_testkit.servers.redis_cluster import RedisCluster
from focal_testkit.servers.redis_fixtures import StartRedis
from focal_testkit.servers.redis_sentinel import RedisSentinel
from focal_testkit.servers.waiting import until

SUITE = """
import pytest


@pytest.mark.parametrize("number", range(4))
class TestShared:
    def test_it(self, redis_server, redis_prefix, private_redis, number):
        with redis_server.client() as client:
            assert client.execute_command("SET", redis_prefix, number)
        print("SERVER", redis_server.url, redis_prefix, redis_server.pid, private_redis.pid)
"""
HANGING = """
import sys
from pathlib import Path
from focal_testkit.servers.redis import LocalRedis

server = LocalRedis(Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.read()
"""


def pytest_of(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a suite of its own in another process."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == PROGRAM or not name.startswith(("PYTEST_", "FOCAL_", "CI"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-o", "asyncio_default_fixture_loop_scope=function", *arguments],
        cwd=tmp_path,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def runs(pid: int) -> bool:
    """Return whether a process is there, and not only its number."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(told.strip()) and not told.startswith("Z")


def ask(server: RedisServer, *command: str | int) -> Any:
    with server.client() as client:
        return client.execute_command(*command)


class TestWithoutServer:
    def test_an_address_that_does_not_answer_is_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who names a server means that one; the message tells all ways and no password."""
        monkeypatch.setenv(ADDRESS, "redis://:secret@127.0.0.1:1/0")
        with pytest.raises(ServerMissing) as caught:
            servers.redis_server(tmp_path / "server")
        assert all(way in str(caught.value) for way in (ADDRESS, "Docker", "PATH", "focal-redis[embedded]"))
        assert "secret" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_a_whole_run_is_skipped_or_fails(self, tmp_path: Path) -> None:
        """A skip with a reason on a desk, a failure where redis is required."""
        nowhere = {ADDRESS: "redis://:secret@127.0.0.1:1/0"}
        skipped = pytest_of(tmp_path, **nowhere)
        failed = pytest_of(tmp_path, **nowhere, FOCAL_REQUIRE="redis")
        assert "4 skipped" in skipped.stdout
        assert skipped.returncode == 0
        assert "4 errors" in failed.stdout
        assert "secret" not in skipped.stdout + failed.stdout

    def test_a_named_binary_is_the_one_that_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """FOCAL_TEST_REDIS_BINARY comes before everything else; where it does not start, that is told."""
        monkeypatch.setenv(PROGRAM, str(tmp_path / "nothing"))
        assert find_program() == tmp_path / "nothing"
        with pytest.raises(ServerMissing, match="No such file"):
            LocalRedis(tmp_path / "server")
        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho out of order\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv(PROGRAM, str(broken))
        with pytest.raises(ServerMissing, match="out of order"):
            LocalRedis(tmp_path / "server")

    def test_a_server_too_old_is_refused(self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """What lacks the commands of Redis 6.2 is no server for these tests."""

        class Old(redis.Redis):
            def execute_command(self, *args: Any, **options: Any) -> Any:
                return {"redis_version": "5.0.14"}

        monkeypatch.setattr(servers, "connected", lambda url, **options: Old())
        with pytest.raises(ServerMissing, match=r"5\.0\.14"):
            RedisServer(redis_server.url).check()


class TestRuns:
    def test_each_worker_has_a_server_and_each_class_a_prefix(self, tmp_path: Path) -> None:
        """Nothing is shared between workers, nothing is left behind, and the run needs no set-up."""
        pytest.importorskip("xdist")
        done = pytest_of(tmp_path, "-n", "2", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}")
        lines = {line for line in done.stdout.splitlines() if line.startswith("SERVER")}
        assert done.returncode == 0, done.stdout
        assert len({line.split()[1] for line in lines}) == 2
        assert len({line.split()[2] for line in lines}) == 2
        assert not any(runs(int(pid)) for line in lines for pid in line.split()[3:])
        assert not list(tmp_path.glob("base/focal-servers*"))

    def test_a_killed_run_leaves_no_server(self, tmp_path: Path) -> None:
        """SIGKILL of the tests is the end of their servers too."""
        tests = subprocess.Popen(
            [sys.executable, "-c", HANGING, str(tmp_path / "server")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        assert runs(pid)
        tests.kill()
        tests.communicate()
        until(lambda: not runs(pid), "the server has ended")


class TestKeys:
    def test_a_prefix_is_forgotten_alone(self, redis_server: RedisServer) -> None:
        """Keys of other prefixes stay."""
        mine, theirs = redis_server.new_prefix(), redis_server.new_prefix()
        for prefix in (mine, theirs):
            ask(redis_server, "SET", f"{prefix}:a", 1)
        assert redis_server.forget(mine) == 1
        assert ask(redis_server, "EXISTS", f"{mine}:a") == 0
        assert redis_server.forget(theirs) == 1

    def test_the_clock_ages_keys(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """What has a time to live loses what the clock gains, in parts of a millisecond too, and ends in time."""
        other = redis_server.new_prefix()
        for name in (f"{redis_prefix}:short", f"{redis_prefix}:long", f"{other}:short"):
            ask(redis_server, "SET", name, 1, "PX", 100_000 if "short" in name else 10_000_000)
        ask(redis_server, "SET", f"{redis_prefix}:always", 1)
        clock = AgeingClock((redis_server, redis_prefix))
        clock.advance(seconds=90)
        assert 0 < ask(redis_server, "PTTL", f"{redis_prefix}:short") <= 10_000
        for _ in range(20):
            clock.advance(timedelta(microseconds=600_500))
        assert ask(redis_server, "EXISTS", f"{redis_prefix}:short") == 0
        assert 9_800_000 < ask(redis_server, "PTTL", f"{redis_prefix}:long") <= 10_000_000 - 102_010
        clock.set(clock.now() - timedelta(seconds=102))
        assert 9_900_000 < ask(redis_server, "PTTL", f"{redis_prefix}:long") <= 10_000_000
        assert ask(redis_server, "TTL", f"{redis_prefix}:always") == -1
        assert ask(redis_server, "PTTL", f"{other}:short") > 10_000
        redis_server.forget(other)


class TestPrivateServer:
    @pytest.mark.parametrize("how", ["kill", "stop", "restart"])
    def test_it_comes_back_at_its_address_with_its_data(self, private_redis: LocalRedis, how: str) -> None:
        """What was acknowledged is there after a crash and after a restart."""
        ask(private_redis, "SET", "answer", 42)
        url, pid = private_redis.url, private_redis.pid
        getattr(private_redis, how)()
        if how != "restart":
            assert not private_redis.running
            with pytest.raises(redis.ConnectionError):
                ask(private_redis, "PING")
            private_redis.start()
        assert (private_redis.url, private_redis.pid != pid) == (url, True)
        assert ask(private_redis, "GET", "answer") == b"42"

    def test_it_can_be_paused(self, private_redis: LocalRedis) -> None:
        """A paused server keeps its connections and answers nobody until it is resumed."""
        with private_redis.client(socket_timeout=0.2) as client:
            client.execute_command("PING")
            private_redis.pause()
            with pytest.raises(redis.TimeoutError):
                client.execute_command("PING")
            private_redis.resume()
            assert ask(private_redis, "PING")

    def test_it_can_be_configured(self, private_redis: LocalRedis) -> None:
        """Settings of a running server change until it is started again."""
        private_redis.configure(maxmemory_policy="allkeys-lru")
        assert ask(private_redis, "CONFIG GET", "maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
        private_redis.restart()
        assert ask(private_redis, "CONFIG GET", "maxmemory-policy")["maxmemory-policy"] == "noeviction"

    def test_several_are_several(self, start_redis: StartRedis) -> None:
        """Each has its port, its password and its keys; settings are those of a redis.conf."""
        one, two = start_redis(), start_redis({"maxmemory": "50mb", "save": '""'})
        ask(one, "SET", "key", 1)
        assert ask(two, "EXISTS", "key") == 0
        assert one.password != two.password
        assert ask(one, "CONFIG GET", "appendonly")["appendonly"] == "yes"
        assert ask(two, "CONFIG GET", "appendonly")["appendonly"] == "no"
        assert ask(two, "CONFIG GET", "maxmemory")["maxmemory"] == str(50 * 1024 * 1024)

    def test_nobody_gets_in_without_the_password(self, private_redis: LocalRedis) -> None:
        """Other users of the machine can reach the port, not the keys, nor read the password."""
        with (
            servers.connected(servers.address(private_redis.port)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.execute_command("KEYS", "*")
        assert (private_redis.folder / "redis.conf").stat().st_mode & 0o077 == 0
        assert private_redis.password not in repr(private_redis)

    def test_a_test_that_ends_a_paused_server_does_not_hang(self, start_redis: StartRedis) -> None:
        """Closing ends a server in whatever state it is."""
        server = start_redis()
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        server.close()
        assert not runs(pid)
        assert not server.folder.exists()


class _Handle:
    def __init__(self, client: RedisClient, context: BackendContext) -> None:
        self.client = client


class TestStoreCase(RedisStoreCase):
    store_class = _Handle

    @pytest.mark.asyncio
    async def test_stores_open_together_share_nothing(self, clock: AgeingClock) -> None:
        """Each opened store has a key prefix of its own, below that of the class, and leaves no key."""
        context = BackendContext(clock=clock)
        async with self.open_store(context) as one, self.open_store(context) as two:
            names = [store.client.options.key_prefix for store in (one, two)]
            assert len(set(names)) == 2
            for store, name in zip((one, two), names, strict=True):
                await store.client.call("set", "SET", name, "1", "PX", 1000, key=name.encode(), writes=True)
                assert await store.client.call("get", "GET", name, key=name.encode()) == b"1"
            clock.advance(seconds=1)
            assert await one.client.call("get", "GET", names[0], key=names[0].encode()) is None
            await two.client.call("set", "SET", names[1], "1", key=names[1].encode(), writes=True)
        assert self.server.forget(self.prefix) == 0

    @pytest.mark.asyncio
    async def test_a_client_opens_at_an_address(self, redis_server: RedisServer) -> None:
        """What is not a case of the contract opens a client itself."""
        async with open_client(redis_server.url, BackendContext(), key_prefix="mine") as client:
            assert client.options.key_prefix == "mine"


class TestClusterStoreCase(TestStoreCase):
    server_fixture = "redis_cluster"


class TestCluster:
    def test_every_key_has_a_primary_and_each_primary_a_replica(self, redis_cluster: RedisCluster) -> None:
        """Three primaries share the slots, the keys of a tag lie on one, and prefixes are forgotten on all."""
        prefix = redis_cluster.new_prefix()
        owners = {key: redis_cluster.primary_of(key) for key in (f"{prefix}{{{n}}}".encode() for n in range(32))}
        assert len(set(owners.values())) == 3
        assert all(redis_cluster.replica_of(redis_cluster.replica_of(node)) is node for node in owners.values())
        for key, owner in owners.items():
            assert ask(owner, "SET", key.decode(), 1, "PX", 60_000)
        assert redis_cluster.age(prefix, 30_000) == 32
        assert all(0 < ask(owner, "PTTL", key.decode()) <= 30_000 for key, owner in owners.items())
        assert redis_cluster.forget(prefix) == 32

    def test_a_replica_takes_over_with_all_data(self, private_redis_cluster: RedisCluster) -> None:
        """A replica that was in step answers with what its killed primary had; the primary comes back as replica."""
        cluster = private_redis_cluster
        primary = cluster.primary_of(b"key")
        with primary.client() as client:
            client.set("key", 1)
            assert client.wait(1, 5000) == 1
        cluster.kill(cluster.nodes.index(primary))
        cluster.wait_until_served()
        successor = cluster.primary_of(b"key")
        assert successor is cluster.replica_of(primary)
        assert ask(successor, "GET", "key") == b"1"
        primary.start()
        cluster.wait_until_ready()
        assert cluster.primary_of(b"key") is successor

    def test_its_ports_leave_room_for_its_bus(self, redis_cluster: RedisCluster) -> None:
        """The bus of a node is 10,000 above its port."""
        assert all(node.port <= 55_535 for node in redis_cluster.nodes)

    def test_nothing_is_left_of_it(self, tmp_path: Path) -> None:
        """Every node ends with the cluster, killed or not."""
        cluster = RedisCluster(tmp_path / "cluster")
        pids = [node.pid for node in cluster.nodes]
        cluster.kill(0)
        cluster.close()
        assert not any(runs(pid) for pid in pids)


class TestSentinel:
    def test_sentinels_replace_a_killed_primary(self, redis_sentinel: RedisSentinel) -> None:
        """A second after the kill the replica is made the primary, with what it had; the old one comes back behind."""
        first = redis_sentinel.primary
        with first.client() as client:
            client.set("key", 1)
            assert client.wait(1, 5000) == 1
        first.kill()
        second = redis_sentinel.wait_until_replaced(first)
        assert second is not first
        assert redis_sentinel.primary is second
        assert ask(second, "GET", "key") == b"1"
        redis_sentinel.rejoin(first)
        assert ask(first, "INFO", "replication")["role"] == "slave"

    @pytest.mark.asyncio
    async def test_a_client_finds_the_primary(self, redis_sentinel: RedisSentinel) -> None:
        """The address names the sentinels and the service."""
        async with open_client(redis_sentinel.url, BackendContext()) as client:
            await client.call("set", "SET", "key", "1", key=b"key", writes=True)
        assert ask(redis_sentinel.primary, "GET", "key") == b"1"
