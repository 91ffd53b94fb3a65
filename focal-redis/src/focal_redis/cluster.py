"""Which server of a cluster holds a slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
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
_AT_ONCE = 4
"""Servers that are asked at the same time."""


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

    def forget(self, endpoint: Endpoint | None = None) -> None:
        """Let the slots be asked for again: a server did not answer, or redirected.

        Args:
            endpoint: the server that is not to be trusted before that.
        """
        if asyncio.get_running_loop().time() - self._looked_at > _PAUSE:
            if endpoint is not None:
                self._slots = [None if one is endpoint else one for one in self._slots]
            self._begin()

    def _begin(self) -> asyncio.Task[None]:
        if self._looking is None:
            # In no caller's context: the time of the call that happens to ask may be up.
            self._looking = asyncio.get_running_loop().create_task(self._look(), context=Context())
            self._looking.add_done_callback(self._looked)
        return self._looking

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
        await asyncio.shield(self._begin())

    async def _look(self) -> None:
        """Ask some servers at once, so that one that is silent delays nobody, and the others if none of them tells."""
        hosts = list(dict.fromkeys([*self._endpoints, *self._seeds]))
        random.shuffle(hosts)
        failure: FocalError | None = None
        for first in range(0, len(hosts), _AT_ONCE):
            questions = [asyncio.ensure_future(self._ask(host)) for host in hosts[first : first + _AT_ONCE]]
            try:
                for answer in asyncio.as_completed(questions):
                    try:
                        reply, host = await answer
                    except FocalError as error:
                        failure = error
                        continue
                    if not isinstance(reply, ResponseError) and reply:
                        self._learn(reply, host)
                        self._looked_at = asyncio.get_running_loop().time()
                        return
            finally:
                for question in questions:
                    question.cancel()
                await asyncio.wait(questions)
        raise failure or StoreUnavailableError(
            "no server of the Redis cluster knows its slots", code="cluster_down", hint="is it a cluster?"
        )

    async def _ask(self, host: Host) -> tuple[Any, Host]:
        return await self.at(host).submit(_CLUSTER_SLOTS, writes=False), host

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
