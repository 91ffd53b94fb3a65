"""The facade: one object that opens what is configured and hands out its ports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from focal_core.clock import Clock
from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import CheckResult, HealthReport, combined
from focal_core.maintenance import keep_expiring
from focal_core.opening import Opened, open_backends
from focal_core.plugins.backend import Backend
from focal_core.plugins.hooks import Hooks, load_hooks
from focal_core.settings import FocalSettings, how_to_set
from focal_core.tenancy import TenantView

if TYPE_CHECKING:
    from focal_core.audit.store import AuditStore
    from focal_core.config.store import ConfigStore
    from focal_core.conversation.store import SessionStore
    from focal_core.memory.store import MemoryStore
    from focal_core.profile.store import ProfileStore
    from focal_core.providers.embedding import EmbeddingProvider
    from focal_core.providers.llm import LLMProvider
    from focal_core.providers.rerank import RerankProvider
    from focal_core.runtime.store import RuntimeStore
    from focal_core.sync import SyncFocal

SettingsSource = str | os.PathLike[str] | Mapping[str, Any] | FocalSettings | None

R = TypeVar("R")


class Focal:
    """The open backends and their ports; made by ``Focal.open``.

    Attributes:
        settings: the effective settings.
        context: what every backend was handed.
        backends: the open backends by configured name.
    """

    def __init__(self, settings: FocalSettings, context: BackendContext, hooks: Hooks, opened: Opened) -> None:
        self.settings = settings
        self.context = context
        self.backends: Mapping[str, Backend] = opened.backends
        self._hooks = hooks
        self._ports = opened.ports
        self._checks = opened.checks
        self._closing = opened.closing
        self._closed = False
        if settings.profile.auto_expire_enabled and "profiles" in self._ports:
            sweep = keep_expiring(self._ports["profiles"], settings.profile.expire_check_interval_seconds)
            self._closing.push_async_callback(_stop, asyncio.create_task(sweep, name="focal-expire-profiles"))

    @classmethod
    def open(
        cls,
        source: SettingsSource = None,
        /,
        *,
        context: BackendContext | None = None,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> Opening:
        """Return what opens focal: ``async with Focal.open(...) as focal``, or ``focal = await Focal.open(...)``.

        Args:
            source: a settings file; a mapping of settings; ``FocalSettings``; or None: ./focal.toml where there is
                one, and the environment.
            context: what every backend is handed, in place of what the settings say; for tests.
            clock: another clock than the machine's; for tests and for replaying logs.
            overrides: settings by section, such as ``stores={"default": "main"}``; they win over every source.

        Raises:
            SettingsError: the settings are wrong.
            PluginNotFoundError: no installed distribution offers a backend that is named.
            FocalError: a backend failed to open; several failures are told at once, and what was opened is closed.
        """
        return Opening(cls, source, context, clock, overrides)

    @classmethod
    def open_sync(
        cls,
        source: SettingsSource = None,
        /,
        *,
        context: BackendContext | None = None,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> SyncFocal:
        """Open focal for code without an event loop: the same object on a loop of its own in a thread.

        Use it with ``with``, or call ``close()``. Arguments and errors are those of ``open``.
        """
        from focal_core.sync import SyncFocal

        return SyncFocal(cls.open(source, context=context, clock=clock, **overrides))

    async def __aenter__(self) -> Focal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every backend, last opened first; failures are logged. A second call does nothing."""
        self._closed = True
        await self._closing.aclose()

    @property
    def config(self) -> ConfigStore:
        """Agents, rules, scenarios, templates, variables, tools, migration plans."""
        return self._port("config")  # type: ignore[no-any-return]

    @property
    def memory(self) -> MemoryStore:
        """Episodes, entities, relationships."""
        return self._port("memory")  # type: ignore[no-any-return]

    @property
    def sessions(self) -> SessionStore:
        """Sessions."""
        return self._port("sessions")  # type: ignore[no-any-return]

    @property
    def audit(self) -> AuditStore:
        """Turns and events."""
        return self._port("audit")  # type: ignore[no-any-return]

    @property
    def profiles(self) -> ProfileStore:
        """Customer profiles."""
        return self._port("profiles")  # type: ignore[no-any-return]

    @property
    def runtime(self) -> RuntimeStore:
        """Runtime sessions, conversations, checkpoints, task context."""
        return self._port("runtime")  # type: ignore[no-any-return]

    @property
    def llm(self) -> LLMProvider:
        """The language model."""
        return self._port("llm")  # type: ignore[no-any-return]

    @property
    def embedding(self) -> EmbeddingProvider:
        """The embedding model."""
        return self._port("embedding")  # type: ignore[no-any-return]

    @property
    def rerank(self) -> RerankProvider:
        """The reranker."""
        return self._port("rerank")  # type: ignore[no-any-return]

    def _port(self, port: str) -> Any:
        if self._closed:
            raise ConfigurationError("focal is closed", hint="open it again with Focal.open(...)", code="closed")
        if port in self._ports:
            return self._ports[port]
        backend = self.settings.backend_for(port)
        reason = f"backend {backend!r} (stores.default) does not serve it" if backend else "no backend is named for it"
        raise ConfigurationError(
            f"port {port!r} is not configured: {reason}", hint=how_to_set(port), code="port_not_configured"
        )

    def tenant(self, tenant_id: UUID) -> TenantView:
        """Return every port bound to one tenant; cheap, owns nothing.

        Raises:
            TenantRequiredError: the tenant is not a UUID.
        """
        return TenantView(self, tenant_id)

    async def health(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Return one report over all backends and the checks of plugins; never raises.

        Args:
            timeout_seconds: time given to each; one that takes longer is down.
        """
        started = perf_counter()
        names, further = list(self.backends), {**self._checks, **self._hooks.health_checks(self)}
        reports, checks = await asyncio.gather(
            asyncio.gather(*(self._backend_health(name, timeout_seconds) for name in names)),
            asyncio.gather(*(_further_health(check, timeout_seconds) for check in further.values())),
        )
        found = dict(zip(names, reports, strict=True))
        return combined(
            found, dict(zip(further, checks, strict=True)), (perf_counter() - started) * 1000, self._spare(found)
        )

    def _spare(self, reports: Mapping[str, HealthReport]) -> set[str]:
        """Return the backends without which every port is served: a hot tier, a chain of which one is left."""
        chain = self.settings.backends_for("llm")
        chained = len(chain) > 1 and any(reports[name].status != "down" for name in chain)
        alone = {self.settings.backend_for(port) for port in self._ports if port != "llm" or not chained}
        spare = {self.settings.session.hot_tier, *(chain if chained else ())}
        return {name for name in reports if name in spare} - alone - {self.settings.runtime.archive}

    async def _backend_health(self, name: str, timeout_seconds: float) -> HealthReport:
        started = perf_counter()
        try:
            return await asyncio.wait_for(self.backends[name].health(), timeout_seconds)
        except Exception as error:
            failed = {"health": CheckResult(ok=False, detail=type(error).__name__)}
            elapsed = (perf_counter() - started) * 1000
            return HealthReport(status="down", checks=failed, latency_ms=elapsed, backend=name)


async def _further_health(check: Callable[[], Awaitable[CheckResult]], timeout_seconds: float) -> CheckResult:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await check()
    except Exception as error:
        return CheckResult(ok=False, detail=type(error).__name__)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class Opening:
    """Opens a ``Focal`` when awaited or entered; leaving the context closes it."""

    def __init__(
        self,
        cls: type[Focal],
        source: SettingsSource,
        context: BackendContext | None,
        clock: Clock | None,
        overrides: Mapping[str, Any],
    ) -> None:
        self._cls, self._source, self._context, self._clock, self._overrides = cls, source, context, clock, overrides
        self._focal: Focal | None = None

    def __await__(self) -> Generator[Any, None, Focal]:
        return self._open().__await__()

    async def _open(self) -> Focal:
        settings = FocalSettings.load(self._source, **self._overrides)
        context = self._context or settings.context()
        if self._clock is not None:
            context = replace(context, clock=self._clock)
        hooks = load_hooks()
        return self._cls(settings, context, hooks, await open_backends(settings, context, hooks))

    async def __aenter__(self) -> Focal:
        self._focal = await self._open()
        return self._focal

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._focal is not None:
            await self._focal.close()
