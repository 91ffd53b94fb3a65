"""A Redis Cluster for tests: three primaries with one replica each, on loopback."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis, RedisError
from redis.crc import key_slot

from focal_testkit.servers import ServerMissing
from focal_testkit.servers.redis import FAST, LocalRedis, RedisServer, ask
from focal_testkit.servers.waiting import until

PRIMARIES = 3
_SLOTS = 16_384
_SETTINGS = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "1000",
    # However long a replica was cut off: a test may kill a primary at once after it was started again.
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
}


class RedisCluster(RedisServer):
    """A cluster of this process, ready when every node says so and every replica has its primary's data.

    Args:
        folder: where the nodes live; made if it is missing.
        settings: lines of a redis.conf for every node; ``FAST`` when omitted.

    Attributes:
        url: ``redis+cluster://`` with the three first primaries and the password.
        nodes: the three first primaries, then the replica of each in the same order; who is a primary later is told
            by ``primary_of``.

    Raises:
        ServerMissing: there is no binary, or a node does not start.
    """

    source = "local"
    controllable = True

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.nodes: list[LocalRedis] = []
        self.password = secrets.token_urlsafe(24)
        chosen = {**(FAST if settings is None else settings), **_SETTINGS}
        try:
            for number in range(2 * PRIMARIES):
                self.nodes.append(LocalRedis(folder / f"node-{number}", chosen, password=self.password))
            self._connect()
        except BaseException:
            self.close()
            raise
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:PRIMARIES])
        super().__init__(f"redis+cluster://:{self.password}@{places}")
        self.version = self.nodes[0].version

    def client(self, **options: Any) -> Redis:
        """Return a client of one node that runs, which answers for its own keys only; the caller closes it."""
        return self._living()[0].client(**options)

    def primaries(self) -> list[Redis]:  # noqa: D102
        ports = {member.port for member in self._owners()}
        return [node.client() for node in self.nodes if node.port in ports]

    def primary_of(self, key: bytes) -> LocalRedis:
        """Return the node that answers for a key as the cluster sees it now, running or not."""
        slot = key_slot(key)
        port = next(member.port for member in self._owners() if any(slot in slots for slots in member.slots))
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, node: LocalRedis) -> LocalRedis:
        """Return the partner of a node: the one that takes over when it is killed."""
        return self.nodes[(self.nodes.index(node) + PRIMARIES) % (2 * PRIMARIES)]

    def kill(self, number: int) -> LocalRedis:
        """End a node as a crash does; ``start()`` of what is returned brings it back, as a replica.

        Args:
            number: its place in ``nodes``.
        """
        self.nodes[number].kill()
        return self.nodes[number]

    def wait_until_ready(self, *, seconds: float = 30.0) -> None:
        """Return once every node runs, agrees that the cluster serves, and every replica has its primary's data.

        Raises:
            NotInTimeError: that did not come true.
        """
        until(self._is_ready, "every node of the cluster is ready", seconds=seconds)

    def wait_until_served(self, *, seconds: float = 30.0) -> None:
        """Return once the nodes that run answer for every key: after a kill, when a replica has taken over.

        Raises:
            NotInTimeError: that did not come true.
        """
        until(self._is_served, "the rest of the cluster serves", seconds=seconds)

    def close(self) -> None:  # noqa: D102
        for node in self.nodes:
            node.close()

    def _living(self) -> list[LocalRedis]:
        return [node for node in self.nodes if node.running]

    def _owners(self) -> list[_Member]:
        """Return the members with slots, as a node that runs and serves knows them."""
        for node in self._living():
            with suppress(RedisError), node.client() as client:
                if "cluster_state:ok" in _told(client, "CLUSTER", "INFO"):
                    return [member for member in _members(client) if member.slots]
        raise ServerMissing("no node of the cluster serves")

    def _connect(self) -> None:
        with ExitStack() as opened:
            clients = [opened.enter_context(node.client()) for node in self.nodes]
            names = [_told(client, "CLUSTER", "MYID") for client in clients]
            for number, client in enumerate(clients):
                ask(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                for other in self.nodes[:number]:
                    ask(client, "CLUSTER", "MEET", "127.0.0.1", other.port)
            for number, client in enumerate(clients[:PRIMARIES]):
                first, end = (_SLOTS * part // PRIMARIES for part in (number, number + 1))
                ask(client, "CLUSTER", "ADDSLOTS", *range(first, end))
            until(lambda: all(len(_members(client)) == len(clients) for client in clients), "the nodes have met")
            for number, client in enumerate(clients[PRIMARIES:]):
                ask(client, "CLUSTER", "REPLICATE", names[number])
        self.wait_until_ready()

    def _is_ready(self) -> bool:
        return all(node.running and self._serves(node, self.nodes) for node in self.nodes)

    def _is_served(self) -> bool:
        living = self._living()
        return all(self._serves(node, living) for node in living)

    def _serves(self, node: LocalRedis, expected: Sequence[LocalRedis]) -> bool:
        """Whether a node sees all slots in the hands of nodes that run, and its own replication stands."""
        try:
            with node.client(socket_timeout=5) as client:
                if "cluster_state:ok" not in _told(client, "CLUSTER", "INFO"):
                    return False
                members, replication = _members(client), _told(client, "INFO", "replication")
        except RedisError:
            return False
        ports = {one.port for one in expected}
        seen = {member.port for member in members if not member.flags & {"fail", "fail?", "handshake", "noaddr"}}
        owners = {member.port for member in members if member.slots}
        replicas = {member.port for member in members if "slave" in member.flags} & ports
        if seen != ports or not owners <= ports or len(replicas) != len(ports) - PRIMARIES:
            return False
        if node.port not in owners:
            return "master_link_status:up" in replication
        own = next(member.name for member in members if member.port == node.port)
        mine = sum(member.primary == own and member.port in ports for member in members)
        return replication.count("state=online") == mine


@dataclass(frozen=True)
class _Member:
    """A line of CLUSTER NODES."""

    name: str
    port: int
    flags: frozenset[str]
    primary: str
    slots: tuple[range, ...]


def _members(client: Redis) -> list[_Member]:
    found = []
    for line in _told(client, "CLUSTER", "NODES").splitlines():
        name, place, flags, primary, _, _, _, _, *slots = line.split()
        port = int(place.partition("@")[0].rpartition(":")[2])
        found.append(_Member(name, port, frozenset(flags.split(",")), primary, tuple(map(_range, slots))))
    return found


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _told(client: Redis, *command: str | int) -> str:
    client.response_callbacks.clear()
    return bytes(ask(client, *command)).decode()
