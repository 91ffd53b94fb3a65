"""The synchronous twin of ``Focal``: the same object on a private event loop in a thread, for notebooks and scripts."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from focal_core.errors import ConfigurationError
from focal_core.plugins.backend import PORTS
from focal_core.tenancy import BoundStore

if TYPE_CHECKING:
    from focal_core.app import Focal, Opening
    from focal_core.health import HealthReport
    from focal_core.settings import FocalSettings

R = TypeVar("R")


class _Loop:
    """An event loop that runs in a daemon thread until stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="focal-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Return the result of a coroutine run on the loop; an interrupt while waiting cancels it."""
        if not self._thread.is_alive():
            coroutine.close()
            raise ConfigurationError("focal is closed", hint="open it again with Focal.open_sync(...)", code="closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; a second call does nothing."""
        if self._thread.is_alive():
            self.run(self._loop.shutdown_asyncgens())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class SyncTwin:
    """An object whose coroutines are waited for: methods return results, streams are plain context managers."""

    def __init__(self, target: Any, loop: _Loop) -> None:
        self._target, self._loop = target, loop

    def __repr__(self) -> str:
        return f"SyncTwin({self._target!r})"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._settled(value(*args, **kwargs))

        return call

    def _settled(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            return self._loop.run(_awaited(result))
        if isinstance(result, BoundStore) or hasattr(result, "__aenter__") or hasattr(result, "__anext__"):
            return SyncTwin(result, self._loop)
        return result

    def __enter__(self) -> Any:
        return self._settled(self._loop.run(self._target.__aenter__()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self._loop.run(self._target.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run(_awaited(self._target.__anext__()))
            except StopAsyncIteration:
                return


async def _awaited(value: Any) -> Any:
    return await value


class SyncTenantView:
    """Every port bound to one tenant, its methods waited for."""

    def __init__(self, view: Any, loop: _Loop) -> None:
        self._view, self._loop = view, loop
        self.tenant_id: UUID = view.tenant_id

    def __getattr__(self, name: str) -> SyncTwin:
        if name not in PORTS:
            raise AttributeError(f"there is no port {name!r}; ports are {', '.join(PORTS)}")
        return SyncTwin(getattr(self._view, name), self._loop)


class SyncFocal:
    """An open ``Focal`` for code without an event loop; made by ``Focal.open_sync``.

    Its ports are attributes of the same names, and each of their coroutines is waited for. Safe to use from several
    threads. Not to be used from inside a running event loop: there, use ``Focal.open``.
    """

    def __init__(self, opening: Opening) -> None:
        self._loop = _Loop()
        try:
            self._focal: Focal = self._loop.run(_awaited(opening))
        except BaseException:
            self._loop.stop()
            raise

    @property
    def settings(self) -> FocalSettings:
        """The effective settings."""
        return self._focal.settings

    def __getattr__(self, name: str) -> SyncTwin:
        if name not in PORTS:
            raise AttributeError(f"there is no port {name!r}; ports are {', '.join(PORTS)}")
        return SyncTwin(getattr(self._focal, name), self._loop)

    def tenant(self, tenant_id: UUID) -> SyncTenantView:
        """Return every port bound to one tenant."""
        return SyncTenantView(self._focal.tenant(tenant_id), self._loop)

    def health(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Return one report over all backends and the checks of plugins."""
        return self._loop.run(self._focal.health(timeout_seconds=timeout_seconds))

    def __enter__(self) -> SyncFocal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every backend and end the thread; a second call does nothing."""
        if not self._focal._closed:
            self._loop.run(self._focal.close())
            self._loop.stop()
