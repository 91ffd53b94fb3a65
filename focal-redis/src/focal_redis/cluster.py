"""Which server of a cluster holds a slot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ResponseError

from focal_core.errors import FocalError, StoreUnavailableError
from focal_redis.address import Host
from focal_redis.connection import pack
from focal_redis.endpoint import Endpoint

_SLOTS = 16_384
_CLUSTER_SLOTS = pack("CLUSTER", "SLOTS")
_PAUSE = 0.1
"""Seconds between two looks at the cluster."""


class Topology:
    """The primaries of a cluster and their slots, learned from the cluster and from its redirections.

    Args:
        hosts: the servers to ask first.
        endpoint: makes the endpoint of a host.
    """

    def __init__(self, hosts: tuple[Host, ...], endpoint: Callable[[Host], Endpoint]) -> None:
        self._seeds = hosts
        self._endpoint = endpoint
        self._endpoints: dict[Host, Endpoint] = {}
        self._slots: list[Endpoint | None] = [None] * _SLOTS
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")

    def at(self, host: Host) -> Endpoint:
        """Return the endpoint of a host, made at its first use."""
        if host not in self._endpoints:
            self._endpoints[host] = self._endpoint(host)
        return self._endpoints[host]

    async def of(self, key: bytes) -> Endpoint:
        """Return the primary that holds a key, as far as is known.

        Raises:
            StoreUnavailableError: no server tells.
        """
        endpoint = self._slots[key_slot(key)]
        if endpoint is None:
            await self.refresh()
            endpoint = self._slots[key_slot(key)]
        if endpoint is None:
            raise StoreUnavailableError(
                "a slot of the Redis cluster is served by nobody", code="cluster_down", hint="see CLUSTER INFO"
            )
        return endpoint

    def moved(self, slot: int, host: Host) -> Endpoint:
        """Note that a slot is another server's, and return that."""
        endpoint = self.at(host)
        self._slots[slot] = endpoint
        return endpoint

    def forget(self) -> None:
        """Let the slots be asked for again: a server did not answer, or redirected."""
        if asyncio.get_running_loop().time() - self._looked_at > _PAUSE and self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled():
            # Whoever needs a slot asks again, and is told.
            task.exception()

    async def refresh(self) -> None:
        """Ask for the slots; callers at the same time share one question.

        Raises:
            StoreUnavailableError: no server tells.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        failure: FocalError | None = None
        for host in dict.fromkeys([*self._endpoints, *self._seeds]):
            try:
                reply = await self.at(host).submit(_CLUSTER_SLOTS, writes=False)
            except FocalError as error:
                failure = error
                continue
            if isinstance(reply, ResponseError) or not reply:
                continue
            self._learn(reply, host)
            self._looked_at = asyncio.get_running_loop().time()
            return
        raise failure or StoreUnavailableError(
            "no server of the Redis cluster knows its slots", code="cluster_down", hint="is it a cluster?"
        )

    def _learn(self, reply: list[Any], asked: Host) -> None:
        slots: list[Endpoint | None] = [None] * _SLOTS
        for first, last, primary, *_ in reply:
            # An empty name stands for the server that was asked.
            endpoint = self.at((primary[0].decode() if primary[0] else asked[0], primary[1]))
            slots[first : last + 1] = [endpoint] * (last - first + 1)
        self._slots = slots

    @property
    def endpoints(self) -> list[Endpoint]:
        """The primaries that serve a slot."""
        return list(dict.fromkeys(one for one in self._slots if one is not None))

    async def close(self) -> None:
        """Close every connection."""
        if self._looking is not None:
            self._looking.cancel()
        for endpoint in self._endpoints.values():
            await endpoint.close()
