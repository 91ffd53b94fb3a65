"""What stands between a backend's provider and whoever asks ``Focal`` for the port; built once, when it opens.

From the outside in: spans, the cache of embeddings, the chain of language models, limits, hooks, provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic import BaseModel

from focal_core.plugins.hooks import Hooks
from focal_core.providers.observing import Call, Response, Watch, observed
from focal_core.settings_sections import ProvidersSettings

_LIMITS = ("max_concurrency", "requests_per_minute", "tokens_per_minute")


def assembled(port: str, members: Sequence[tuple[Any, BaseModel]], settings: ProvidersSettings, hooks: Hooks) -> Any:
    """Return the provider of a port behind its wrappers.

    Args:
        port: ``llm``, ``embedding`` or ``rerank``.
        members: the provider and the options of each backend that serves the port; several on ``llm`` only.
        settings: section ``[providers]``.
        hooks: the loaded plugins.
    """
    providers = [_member(port, provider, options, hooks) for provider, options in members]
    found = providers[0]
    if len(providers) > 1:
        from focal_core.providers.fallback import FallbackLLM

        found = FallbackLLM(providers)
    if port == "embedding" and settings.embedding_cache_mb:
        from focal_core.providers.cache import CachedEmbeddings, LRUVectorCache

        found = CachedEmbeddings(found, LRUVectorCache(settings.embedding_cache_mb * 1_048_576))
    try:
        from focal_core.telemetry.providers import Tracing
    except ImportError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        return found
    return observed(found, Tracing(content=settings.trace_content))


def _member(port: str, provider: Any, options: BaseModel, hooks: Hooks) -> Any:
    if hooks.watch_providers:
        provider = observed(provider, _HookObserver(hooks))
    limits = {name: getattr(options, name, None) for name in _LIMITS}
    if port != "llm" or not any(limits.values()):
        return provider
    from focal_core.providers.limits import LimitedLLM

    return LimitedLLM(provider, **limits)


class _HookObserver:
    """Tells plugins of calls."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def begin(self, call: Call) -> Watch:
        """Remember the call."""
        return _HookWatch(self._hooks, call)


class _HookWatch:
    def __init__(self, hooks: Hooks, call: Call) -> None:
        self._hooks = hooks
        self._call = call

    def active(self) -> AbstractContextManager[object]:
        """Surround the call with nothing."""
        return nullcontext()

    def first_event(self) -> None:
        """Tell nothing yet."""

    def ended(self, response: Response | None, error: BaseException | None) -> None:
        """Tell the attempts, then the call."""
        call = self._call
        for attempt in getattr(response or error, "attempts", ()):
            self._hooks.tell("focal_provider_attempt", provider=call.provider, attempt=attempt, options=call.options)
        self._hooks.tell(
            "focal_provider_call",
            provider=call.provider,
            port=call.port,
            response=response,
            error=error,
            request=call.request,
            options=call.options,
        )
