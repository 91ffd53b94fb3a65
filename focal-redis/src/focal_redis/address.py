"""What an address says: one server, a cluster or a primary that sentinels know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from focal_core.errors import SettingsError

Host = tuple[str, int]

_DEFAULT_PORT = 6379
_DEFAULT_SENTINEL_PORT = 26379


@dataclass(frozen=True)
class Address:
    """Where Redis is.

    Attributes:
        kind: one server, a cluster, or sentinels that know the primary.
        hosts: the servers to ask first; none for a socket file.
        arguments: of the driver's connection: user, password, database, TLS, path.
        tls: whether connections are encrypted.
        service: the name the sentinels know the primary by.
    """

    kind: Literal["single", "cluster", "sentinel"]
    hosts: tuple[Host, ...]
    arguments: Mapping[str, Any]
    tls: bool = False
    service: str = ""

    @property
    def shown(self) -> str:
        """The address as it may stand in a message: no user, no password."""
        where = ",".join(f"{host}:{port}" for host, port in self.hosts) or str(self.arguments.get("path", ""))
        names = {"single": "Redis at", "cluster": "the Redis cluster at", "sentinel": f"{self.service!r} of sentinels"}
        return f"{names[self.kind]} {where}"


def read(url: str) -> Address:
    """Return what an address says.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return _read(url)
    except ValueError as error:
        # The text may quote the address; only its kind is told.
        raise SettingsError(
            f"the Redis address cannot be used ({type(error).__name__})",
            hint="redis://user:password@host:port/db, redis+cluster://host:port,host:port, "
            "or redis+sentinel://host:port,host:port/primary/db",
            code="url_invalid",
        ) from None


def _read(url: str) -> Address:
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if kind == "":
        return _single(url)
    if kind not in ("cluster", "sentinel"):
        raise ValueError("an unknown kind")
    login, _, places = parts.netloc.rpartition("@")
    default = _DEFAULT_SENTINEL_PORT if kind == "sentinel" else _DEFAULT_PORT
    hosts = tuple(_host(place, default) for place in places.split(","))
    path, service = parts.path, ""
    if kind == "sentinel":
        service, _, database = path.strip("/").partition("/")
        path = f"/{database}"
        if not service:
            raise ValueError("no primary is named")
    query = f"?{parts.query}" if parts.query else ""
    plain = _single(f"{scheme}://{login}{'@' if login else ''}{hosts[0][0]}:{hosts[0][1]}{path}{query}")
    if kind == "cluster" and plain.arguments.get("db"):
        raise ValueError("a cluster has database 0 only")
    return Address("sentinel" if kind == "sentinel" else "cluster", hosts, plain.arguments, plain.tls, unquote(service))


def _single(url: str) -> Address:
    arguments: dict[str, Any] = dict(parse_url(url))
    connection = arguments.pop("connection_class", None)
    if connection is UnixDomainSocketConnection:
        return Address("single", (), arguments)
    host = (arguments.pop("host", "localhost"), arguments.pop("port", _DEFAULT_PORT))
    return Address("single", (host,), arguments, tls=connection is SSLConnection)


def _host(place: str, default: int) -> Host:
    parts = urlsplit(f"//{place}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or default
