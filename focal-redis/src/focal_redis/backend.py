"""The Redis backend: two-tier sessions, and a cache for the profiles of any backend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import CheckResult, HealthReport, examined
from focal_core.plugins.backend import CONTRACT, Backend
from focal_redis.settings import RedisOptions

if TYPE_CHECKING:
    # The driver and the embedded server load when the backend opens, not when plugins are listed.
    from focal_redis.client import RedisClient
    from focal_redis.embedded import EmbeddedServer


class RedisBackend(Backend):
    """Sessions on Redis in two tiers, on one server or two; and a cache for profiles."""

    name: ClassVar[str] = "redis"
    Options: ClassVar[type[BaseModel]] = RedisOptions
    ports: ClassVar[Mapping[str, str]] = {"sessions": "focal_redis.conversation:RedisSessionStore"}
    capabilities: ClassVar[frozenset[str]] = frozenset({"durable", "session_copies", "two_tier"})
    caches: ClassVar[frozenset[str]] = frozenset({"profiles"})
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        self._settings = cast("RedisOptions", options)
        self._client: RedisClient | None = None
        self._hot_client: RedisClient | None = None
        self._server: EmbeddedServer | None = None
        self._sessions: Any = None
        self._cache: Any = None

    async def open(self) -> None:
        """Connect to the server, or start it where it is an embedded one.

        Raises:
            StoreUnavailableError: a server is down or refuses the login.
            SettingsError: an address cannot be used, or the embedded server's binary is not installed.
        """
        from focal_redis.client import RedisClient

        try:
            url = await self._address()
            client = RedisClient(self._settings, self.context)
            await client.open(url)
            self._client = client
            if self._settings.hot_url is not None:
                hot = RedisClient(self._settings, self.context)
                await hot.open(self._settings.hot_url.get_secret_value())
                self._hot_client = hot
        except BaseException:
            await self.close()
            raise

    async def _address(self) -> str | None:
        """Return the address of the embedded server, started or joined; None for any other."""
        folder = self._settings.embedded_folder
        if folder is None:
            return None
        from focal_redis import embedded

        self._server = await asyncio.to_thread(embedded.join, folder)
        return self._server.url

    def port(self, name: str) -> Any:
        """Return the session store, made at its first use."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'redis' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        if self._sessions is None:
            self._sessions = self._session_store()
        return self._sessions

    def _session_store(self) -> Any:
        from focal_core.conversation.tiered import TieredSessionStore
        from focal_redis.conversation import RedisSessionStore

        if self._hot_client is None:
            return RedisSessionStore(self._open_client(), self.context)
        return TieredSessionStore(
            RedisSessionStore(self._hot_client, self.context),
            RedisSessionStore(self._open_client(), self.context, hot_tier=False),
            self.context,
            verify_hot=self._settings.verify_hot,
        )

    def cached(self, port: str, store: Any, ttl_seconds: Mapping[str, int]) -> Any:
        """Return another backend's profiles behind a cache kept on this server."""
        if port not in self.caches:
            return super().cached(port, store, ttl_seconds)
        from focal_redis.profile_cache import CachedProfileStore

        self._cache = CachedProfileStore(
            store,
            self._open_client(),
            timedelta(seconds=ttl_seconds["profile"]),
            timedelta(seconds=ttl_seconds["field_definitions"]),
            scenario_reqs_ttl=timedelta(seconds=ttl_seconds["scenario_requirements"]),
            key_prefix=self._settings.key_prefix,
            on_cache_error=self._settings.on_cache_error,
        )
        return self._cache

    def _open_client(self) -> RedisClient:
        if self._client is None:
            raise ConfigurationError("backend 'redis' is not open", hint="await open() first")
        return self._client

    async def health(self) -> HealthReport:
        """Return what was seen of the servers; ``down`` without an answer."""
        return await examined(self.name, self._look)

    async def _look(self) -> dict[str, CheckResult]:
        from focal_redis.health import look

        server = self._server
        embedded = "" if server is None else f", embedded in {server.folder} (pid {server.pid})"
        checks = await look(self._open_client(), embedded)
        if self._hot_client is not None:
            # Whatever the hot server evicts is read from the other one.
            hot = await look(self._hot_client)
            checks |= {f"hot_{name}": hot[name] for name in ("connection", "version", "memory", "pool")}
        if self._cache is not None:
            ratio, waiting = self._cache.hit_ratio, self._cache.pending_invalidations
            checks["profile_cache"] = CheckResult(
                # Until Redis is told of a write, other processes may read what was there before.
                ok=not waiting,
                detail=f"hit ratio {'-' if ratio is None else f'{ratio:.2f}'}, {waiting} invalidations to be repeated",
            )
        return checks

    async def close(self) -> None:
        """Let running calls end, close every connection, and leave the embedded server."""
        client, self._client = self._client, None
        hot, self._hot_client = self._hot_client, None
        server, self._server = self._server, None
        sessions, self._sessions = self._sessions, None
        cache, self._cache = self._cache, None
        for store in (cache, sessions):
            drain = getattr(store, "drain", None)
            if drain is not None:
                await drain()
        for one in (hot, client):
            if one is not None:
                await one.close()
        if server is not None:
            from focal_redis import embedded

            await asyncio.to_thread(embedded.leave, server)
