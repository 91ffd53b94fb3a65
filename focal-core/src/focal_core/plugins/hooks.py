"""Hooks: what any installed distribution may do when focal acts (entry-point group ``focal.plugins``, pluggy).

A plugin is a module or object with functions marked ``@hookimpl``; it names the arguments it wants. Hooks are
synchronous and do no I/O; one that needs I/O returns an async callable, which core awaits.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from focal_core.errors import FocalError, PluginLoadError
from focal_core.health import CheckResult
from focal_core.plugins.backend import port_types
from focal_core.plugins.discovery import HOOKS, Registration, registrations
from focal_core.plugins.registry import import_hint

if TYPE_CHECKING:
    import typer

    from focal_core.app import Focal
    from focal_core.context import BackendContext
    from focal_core.providers.models import (
        Attempt,
        CallOptions,
        EmbeddingResponse,
        LLMRequest,
        LLMResponse,
        RerankResponse,
    )
    from focal_core.settings import FocalSettings
    from focal_core.store import Store

logger = logging.getLogger("focal.plugins")

hookspec = pluggy.HookspecMarker("focal")
hookimpl = pluggy.HookimplMarker("focal")
"""Marks a function of a plugin as the implementation of the hook of its name."""

HealthCheck = Callable[[], Awaitable[CheckResult]]


class HookSpecs:
    """The hooks there are."""

    @hookspec
    def focal_wrap_store(
        self, port: str, store: Store, context: BackendContext, settings: FocalSettings
    ) -> Store | None:
        """Return a store to use in place of this one, of the same ABC; None leaves it as it is.

        Called once per store port when ``Focal`` opens, in order of plugin name, the first nearest to the backend.
        """

    @hookspec
    def focal_provider_attempt(self, provider: str, attempt: Attempt, options: CallOptions) -> None:
        """Be told of an attempt, when the call it belongs to has ended: the wire family, the record, the limits.

        ``options.tenant_id`` is the tenant, where one was named.
        """

    @hookspec
    def focal_provider_call(
        self,
        provider: str,
        port: str,
        response: LLMResponse | EmbeddingResponse | RerankResponse | None,
        error: BaseException | None,
        request: LLMRequest | None,
        options: CallOptions,
    ) -> None:
        """Be told how a call to one provider has ended, behind its attempts.

        With neither response nor error the reader left a stream early. In a chain each member that was asked is told
        of. ``request`` is there on port ``llm`` only, and may hold whatever the user has written.
        """

    @hookspec
    def focal_add_commands(self, app: typer.Typer) -> None:
        """Add commands or command groups to the command line ``focal``; its own commands cannot be replaced."""

    @hookspec
    def focal_health_checks(self, focal: Focal) -> Mapping[str, HealthCheck] | None:
        """Return async callables by name, each giving one ``CheckResult``; ``focal.health()`` awaits them."""


@dataclass(frozen=True)
class HookFailure:
    """A plugin that could not be loaded.

    Attributes:
        registration: who registers what.
        error: why, with a hint.
    """

    registration: Registration
    error: PluginLoadError


class Hooks:
    """The loaded plugins and the ones that failed to load.

    Args:
        found: what to load, in this order; one that fails is noted and logged once, and disturbs no other.
    """

    def __init__(self, found: tuple[Registration, ...]) -> None:
        self._manager = pluggy.PluginManager("focal")
        self._manager.add_hookspecs(HookSpecs)
        self.loaded: list[Registration] = []
        self.failures: list[HookFailure] = []
        for registration in found:
            try:
                self._load(registration)
            except PluginLoadError as error:
                self.failures.append(HookFailure(registration, error))
                logger.warning("%s; it is left out (%s)", error, error.hint)
            else:
                self.loaded.append(registration)

    def _load(self, registration: Registration) -> None:
        what = f"plugin {registration.name!r} ({registration.origin}, {registration.target})"
        try:
            plugin = registration.load()
        except (Exception, SystemExit) as error:
            raise PluginLoadError(
                f"{what} failed to import: {type(error).__name__ if not str(error) else error}",
                hint=import_hint(registration, error),
            ) from error
        try:
            if self._manager.register(plugin, registration.qualified) is None:
                raise ValueError("its name is blocked")
            # Right after each registration, so that a misspelt hook is charged to its author.
            self._manager.check_pending()
            hooks = self._manager.get_hookcallers(plugin) or []
            implementations = [one for hook in hooks for one in hook.get_hookimpls() if one.plugin is plugin]
            if any(one.hookwrapper or one.wrapper for one in implementations):
                raise ValueError("hook wrappers are not supported")
            if not implementations:
                raise ValueError("it implements no hook")
        except Exception as error:
            if self._manager.has_plugin(registration.qualified):
                self._manager.unregister(name=registration.qualified)
            raise PluginLoadError(
                f"{what} does not fit focal's hooks: {error}",
                hint=f"hooks are {', '.join(hook for hook in vars(HookSpecs) if hook.startswith('focal_'))}",
            ) from error

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a hook: ``trylast`` ones first, then by plugin name."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def wrap_store(self, port: str, store: Store, context: BackendContext, settings: FocalSettings) -> Store:
        """Return a store behind every wrapper plugins put around it.

        Raises:
            PluginLoadError: a wrapper failed, or is not of the port's ABC. It is not skipped: an absent wrapper may
                mean unencrypted data.
        """
        for one in self._implementations("focal_wrap_store"):
            try:
                wrapped = _call(one, port=port, store=store, context=context, settings=settings)
            except FocalError:
                raise
            except Exception as error:
                raise PluginLoadError(
                    f"plugin {one.plugin_name} failed to wrap the {port} store: {type(error).__name__}",
                    hint=f"report it to the authors of {one.plugin_name.partition('@')[2]}, or uninstall it",
                ) from error
            if wrapped is None:
                continue
            for expected in port_types(port):
                if not isinstance(wrapped, expected):
                    raise PluginLoadError(
                        f"plugin {one.plugin_name} wrapped the {port} store in {type(wrapped).__name__}, "
                        f"which is not a {expected.__name__}",
                        hint=f"a wrapper must derive from {expected.__module__}.{expected.__name__}",
                    )
            store = wrapped
        return store

    @property
    def watch_providers(self) -> bool:
        """Whether any plugin wants to be told of calls to providers."""
        return any(map(self._implementations, ("focal_provider_attempt", "focal_provider_call")))

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell every plugin that implements an observing hook; one that fails is logged and changes nothing."""
        for one in self._implementations(hook):
            try:
                _call(one, **arguments)
            except Exception as error:
                logger.warning("plugin %s failed in %s: %s", one.plugin_name, hook, type(error).__name__)

    def add_commands(self, app: typer.Typer) -> None:
        """Let every plugin add its commands; one that fails is logged and left out."""
        for one in self._implementations("focal_add_commands"):
            try:
                _call(one, app=app)
            except Exception as error:
                logger.warning("plugin %s failed to add its commands: %s", one.plugin_name, type(error).__name__)

    def health_checks(self, focal: Focal) -> dict[str, HealthCheck]:
        """Return the checks of all plugins, by ``plugin.check``; a plugin that fails to give them is a failed check."""
        checks: dict[str, HealthCheck] = {}
        for one in self._implementations("focal_health_checks"):
            plugin = one.plugin_name.partition("@")[0]
            try:
                checks.update({f"{plugin}.{name}": check for name, check in (_call(one, focal=focal) or {}).items()})
            except Exception as error:
                checks[plugin] = functools.partial(_failed_check, type(error).__name__)
        return checks


def _call(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    return implementation.function(*(arguments[name] for name in implementation.argnames))


async def _failed_check(reason: str) -> CheckResult:
    return CheckResult(ok=False, detail=f"the plugin failed to give its health checks: {reason}")


@functools.cache
def load_hooks() -> Hooks:
    """Return the plugins of this process, loaded once; after ``discovery.refresh`` call ``load_hooks.cache_clear``."""
    return Hooks(registrations(HOOKS))
