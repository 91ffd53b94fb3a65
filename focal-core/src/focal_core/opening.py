"""How ``Focal`` is opened: backends chosen, loaded, checked and opened together; all failures told at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError, FocalError, PluginLoadError, PluginNotFoundError, SettingsError
from focal_core.health import CheckResult
from focal_core.plugins import registry
from focal_core.plugins.backend import PORTS, PROVIDER_PORTS, STORE_PORTS, Backend, port_types
from focal_core.plugins.hooks import Hooks
from focal_core.settings import FocalSettings, how_to_set
from focal_core.settings_sources import DEFAULT_FILE, variable_name

if TYPE_CHECKING:
    from focal_core.providers.embedding import EmbeddingProvider

logger = logging.getLogger("focal")


@dataclass
class Opened:
    """What opening produced.

    Attributes:
        backends: the open backends by configured name, in the order of their ports.
        ports: the implementation of each port, behind its wrappers.
        checks: what else belongs into a health report, by name.
        closing: closes everything, last opened first; a failure is logged and the rest goes on.
    """

    backends: dict[str, Backend] = field(default_factory=dict)
    ports: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Callable[[], Awaitable[CheckResult]]] = field(default_factory=dict)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)


async def open_backends(settings: FocalSettings, context: BackendContext, hooks: Hooks) -> Opened:
    """Open every configured backend once, concurrently, and return its ports behind their wrappers.

    Raises:
        FocalError: the one thing that failed, or a ConfigurationError that lists all; what was opened is closed.
    """
    opened = Opened()
    try:
        await _open_all(settings, context, opened)
        _take_ports(settings, context, hooks, opened)
        if "embedding" in opened.ports:
            await _check_embedding(settings, opened.ports["embedding"], opened)
    except BaseException:
        await opened.closing.aclose()
        raise
    return opened


async def _open_all(settings: FocalSettings, context: BackendContext, opened: Opened) -> None:
    failures: dict[str, FocalError] = {}
    names = chosen_backends(settings)
    if settings.profile.cache_enabled:
        try:
            names = list(dict.fromkeys([*names, cache_backend(settings)]))
        except FocalError as error:
            failures["profile.cache_enabled"] = error
    for name in names:
        try:
            opened.backends[name] = build(settings, name, context)
        except FocalError as error:
            failures[name] = error
    for name, backend in opened.backends.items():
        opened.closing.push_async_callback(_close, name, backend.close)
    results = await asyncio.gather(*(one.open() for one in opened.backends.values()), return_exceptions=True)
    for name, result in zip(opened.backends, results, strict=True):
        if isinstance(result, Exception):
            failures[name] = _ours(result, f"backend {name!r} failed to open")
        elif result is not None:
            raise result
    _raise(failures)


def chosen_backends(settings: FocalSettings) -> list[str]:
    """Return the configured names of the backends that are used, each once: by port, then hot tier and archive."""
    names = [name for port in PORTS for name in settings.backends_for(port)]
    return list(dict.fromkeys(filter(None, [*names, settings.session.hot_tier, settings.runtime.archive])))


def build(settings: FocalSettings, name: str, context: BackendContext) -> Backend:
    """Return the backend of a configured name, not yet open.

    Raises:
        ConfigurationError: it cannot be found, loaded or constructed, its options are wrong, or it does not serve a
            port that names it.
    """
    cls = registry.load(settings.backend_use(name), also=settings.backends)
    named = {port for port in STORE_PORTS if settings.named_backend(port) == name}
    named.update(port for port in PROVIDER_PORTS if name in settings.backends_for(port))
    refused = [port for port in PORTS if port in named and port not in cls.ports]
    if refused:
        raise ConfigurationError(
            f"backend {name!r} does not serve {', '.join(refused)}; it serves {', '.join(cls.ports)}",
            hint=how_to_set(refused[0]),
        )
    options = settings.backend_options(name, cls.Options)
    required: Mapping[str, str] = getattr(cls.Options, "required_by_port", {})
    for port, key in required.items():
        if port in named and getattr(options, key) is None:
            path = ("backends", name, key)
            raise SettingsError(
                f"{'.'.join(path)} is not set, and port {port!r} needs it",
                hint=f"set {'.'.join(path)} in {DEFAULT_FILE}, or {variable_name(path)}",
            )
    try:
        return cls(options, context)
    except Exception as error:
        raise _ours(error, f"backend {name!r} could not be constructed") from error


def cache_backend(settings: FocalSettings) -> str:
    """Return the configured name of the backend that caches profiles.

    Raises:
        PluginNotFoundError: no backend that can is configured or installed.
        SettingsError: several are configured.
    """
    able = []
    for name in settings.backends:
        try:
            backend = registry.load(settings.backend_use(name))
        except ConfigurationError:
            continue
        if "profiles" in backend.caches:
            able.append(name)
    if len(able) > 1:
        raise SettingsError(
            f"profile.cache_enabled = true, but several backends could keep the cache: {', '.join(able)}",
            hint="keep one of these [backends] sections",
        )
    if able:
        return able[0]
    if "profiles" not in registry.load("redis").caches:
        registration = registry.find("redis")
        raise PluginNotFoundError(
            f"profile.cache_enabled = true, but {registration.origin} offers no cache for profiles",
            hint=f"pip install --upgrade {registration.distribution}, or set profile.cache_enabled = false",
        )
    return "redis"


def _take_ports(settings: FocalSettings, context: BackendContext, hooks: Hooks, opened: Opened) -> None:
    failures: dict[str, FocalError] = {}
    for port in PORTS:
        name = settings.backend_for(port)
        if name is None or port not in opened.backends[name].ports:
            continue
        try:
            if port in PROVIDER_PORTS:
                opened.ports[port] = _take_provider(port, settings, hooks, opened)
            else:
                opened.ports[port] = _take_port(port, name, settings, context, hooks, opened)
        except Exception as error:
            failures[port] = _ours(error, f"port {port!r} of backend {name!r} could not be made")
    _raise(failures)


def _take_provider(port: str, settings: FocalSettings, hooks: Hooks, opened: Opened) -> Any:
    from focal_core.providers.wiring import assembled

    names = settings.backends_for(port)
    members = [(_checked_port(port, name, opened), opened.backends[name].options) for name in names]
    return assembled(port, members, settings.providers, hooks)


def _take_port(
    port: str, name: str, settings: FocalSettings, context: BackendContext, hooks: Hooks, opened: Opened
) -> Any:
    found = _checked_port(port, name, opened)
    if port == "sessions" and settings.session.hot_tier:
        found = _tiered(found, settings.session.hot_tier, settings, context, opened)
    if port == "profiles" and settings.profile.cache_enabled:
        cache = opened.backends[cache_backend(settings)]
        found = cache.cached(port, found, settings.profile.cache_ttl_by_kind())
    if port == "profiles" and context.profile_policy.validation_enabled:
        from focal_core.profile.validation import ValidatingProfileStore

        found = ValidatingProfileStore(found, policy=context.profile_policy)
    if port == "runtime" and settings.runtime.archive:
        found = _archived(found, settings.runtime.archive, context, opened)
    return hooks.wrap_store(port, found, context, settings)


def _checked_port(port: str, name: str, opened: Opened) -> Any:
    found = opened.backends[name].port(port)
    for expected in port_types(port):
        if not isinstance(found, expected):
            raise PluginLoadError(
                f"backend {name!r} serves port {port!r} with {type(found).__name__}, "
                f"which is not a {expected.__name__}",
                hint=f"it must derive from {expected.__module__}.{expected.__name__}",
            )
    return found


def _tiered(durable: Any, name: str, settings: FocalSettings, context: BackendContext, opened: Opened) -> Any:
    from focal_core.conversation.tiered import NEEDED, TieredSessionStore

    hot = _checked_port("sessions", name, opened) if "sessions" in opened.backends[name].ports else None
    if hot is None or not hot.capabilities >= NEEDED:
        raise SettingsError(
            f"session.hot_tier names backend {name!r}, which cannot keep copies of another backend's sessions",
            hint="name a backend whose sessions have the capabilities 'two_tier' and 'session_copies'; "
            "`focal plugins list --verify --json` shows capabilities",
        )
    both = TieredSessionStore(hot, durable, context, verify_hot=settings.session.verify_hot)
    opened.checks["session.hot_tier"] = both.health_check
    opened.closing.push_async_callback(_close, "session.hot_tier", both.drain)
    return both


def _archived(hot: Any, name: str, context: BackendContext, opened: Opened) -> Any:
    backend = opened.backends[name]
    if "archive" not in backend.capabilities:
        raise SettingsError(
            f"runtime.archive names backend {name!r}, which has no permanent archive",
            hint="name a backend with capability 'archive'; `focal plugins list --verify --json` shows capabilities",
        )
    from focal_core.runtime.dual_write import DualWriteStorage

    both = DualWriteStorage(hot, backend.port("runtime").archive, clock=context.clock)
    opened.closing.push_async_callback(_close, "runtime.archive", both.close)
    return both


async def _check_embedding(settings: FocalSettings, provider: EmbeddingProvider, opened: Opened) -> None:
    """Refuse an embedding model whose vectors the stores would refuse, or never find again.

    Raises:
        SettingsError: codes ``embedding_model_mismatch``, ``embedding_space_unknown`` and
            ``embedding_dimensions_mismatch``.
    """
    wanted, model, dims = settings.vector.embedding_model, provider.model_id, provider.dimensions
    what = f"the embedding provider {settings.providers.embedding!r} embeds with {model!r}"
    if wanted is not None and wanted != model:
        raise SettingsError(
            f"vector.embedding_model is {wanted!r}, but {what}",
            hint=f"set vector.embedding_model = {model!r}, or choose another provider",
            code="embedding_model_mismatch",
        )
    policy = settings.vector.policy()
    if policy.strict_spaces and (model, dims) not in policy.spaces:
        raise SettingsError(
            f"vector.strict_spaces = true, and {what} in {dims} dimensions, which is none of vector.spaces",
            hint=f'add "{model}:{dims}" to vector.spaces',
            code="embedding_space_unknown",
        )
    known = set(policy.spaces)
    for name in {settings.backend_for(port) for port in ("memory", "config")} & opened.backends.keys():
        known.update(await opened.backends[str(name)].embedding_spaces())
    others = sorted(length for named, length in known if named == model)
    if others and dims not in others:
        raise SettingsError(
            f"{what} in {dims} dimensions, but the stored vectors of that model have {', '.join(map(str, others))}",
            hint=f"set backends.{settings.providers.embedding}.dimensions = {others[0]}, or embed what is stored anew",
            code="embedding_dimensions_mismatch",
        )


async def _close(name: str, close: Callable[[], Awaitable[None]]) -> None:
    try:
        await close()
    except Exception as error:
        # The type alone: a driver's text may hold an address with a password.
        logger.warning("backend %r failed to close: %s", name, type(error).__name__)


def _ours(error: Exception, what: str) -> FocalError:
    if isinstance(error, FocalError):
        return error
    # Any other text than an import's may be a driver's, and hold an address with a password.
    text = str(error) if isinstance(error, ImportError) else type(error).__name__
    wrapped = ConfigurationError(
        f"{what}: {text}",
        hint="a backend raises only focal's errors; `focal plugins list` names the distribution to report it to",
        code="backend_failed",
    )
    wrapped.__cause__ = error
    return wrapped


def _raise(failures: Mapping[str, FocalError]) -> None:
    """Raise the one failure, or one error that lists all; do nothing when there is none."""
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise ConfigurationError(
            "\n  ".join([f"{len(failures)} failures", *(f"{name}: {error}" for name, error in failures.items())]),
            hint="; ".join(f"{name}: {error.hint}" for name, error in failures.items() if error.hint) or None,
            code="several_failures",
            retryable=all(error.retryable for error in failures.values()),
            details={
                "failures": {
                    name: {"error": str(error), "code": error.code, "hint": error.hint}
                    for name, error in failures.items()
                }
            },
        ) from ExceptionGroup("failures", list(failures.values()))
