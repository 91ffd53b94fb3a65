"""Which server the sentinels call the primary."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from redis.exceptions import ResponseError

from focal_core.errors import FocalError, StoreUnavailableError
from focal_redis.address import Address, Host
from focal_redis.connection import Link, pack
from focal_redis.errors import connect_failure
from focal_redis.settings import RedisOptions

_OPEN = "without any password configured"


class Sentinels:
    """The sentinels of an address. All are asked at once, so that one that is dead or silent delays nobody.

    Args:
        address: theirs, with the name they know the primary by.
        options: time limits.

    Attributes:
        primary: what they said last; None before.
    """

    def __init__(self, address: Address, options: RedisOptions) -> None:
        self.primary: Host | None = None
        self._address = address
        self._options = options
        self._arguments: Mapping[str, Any] = {
            name: value for name, value in address.arguments.items() if name not in ("db", "path")
        }
        self._question = pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
        self._asking: asyncio.Task[Host] | None = None

    async def ask(self) -> Host:
        """Return the primary most of the sentinels name; callers at the same time share one question.

        Raises:
            StoreUnavailableError: none names one.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        self.primary = await asyncio.shield(self._asking)
        return self.primary

    def _asked(self, task: asyncio.Task[Host]) -> None:
        self._asking = None
        if not task.cancelled():
            # Whoever waited has been told.
            task.exception()

    async def _ask(self) -> Host:
        hosts = self._address.hosts
        questions = [asyncio.create_task(self._ask_one(host)) for host in hosts]
        named: Counter[Host] = Counter()
        failure: FocalError | None = None
        try:
            for answer in asyncio.as_completed(questions):
                try:
                    host = await answer
                except FocalError as error:
                    failure = error
                    continue
                named.update([host] if host else [])
                if named and named.most_common(1)[0][1] * 2 > len(hosts):
                    break
        finally:
            for question in questions:
                question.cancel()
            await asyncio.wait(questions)
        if named:
            return named.most_common(1)[0][0]
        raise failure or StoreUnavailableError(
            f"{self._address.shown} name no primary", code="connect_failed", hint="is the name in the url right?"
        )

    async def _ask_one(self, host: Host) -> Host | None:
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                link = await self._connected(host)
                try:
                    (reply,) = await link.exchange(self._question, 1)
                finally:
                    link.terminate()
            if isinstance(reply, ResponseError):
                raise reply
        except Exception as error:
            cause = error if self._options.debug_driver_errors else None
            raise connect_failure(error, f"the sentinel at {host[0]}:{host[1]}") from cause
        return None if reply is None else (reply[0].decode(), int(reply[1]))

    async def _connected(self, host: Host) -> Link:
        tls = self._address.tls
        try:
            return await Link.connect(self._options, self._arguments, host, tls)
        except ResponseError as error:
            if _OPEN not in str(error):
                raise
            # The password of the url is the servers' own: this sentinel asks for none.
            known = {name: value for name, value in self._arguments.items() if name not in ("username", "password")}
            return await Link.connect(self._options, known, host, tls)

    async def close(self) -> None:
        """Give up a question that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
