"""The scripts of sessions: each is one step of the server."""

from __future__ import annotations

from focal_redis.script import Script

_SHARED = Script.load("frame").source


def _load(name: str) -> Script:
    return Script.of(name, _SHARED + Script.load(name).source)


SAVE = _load("save")
DELETE = _load("delete")
PROMOTE = _load("promote")
DEMOTE = _load("demote")
COPY = _load("copy")
LIST = _load("list")
CLEANUP = _load("cleanup")
OWNER = _load("owner")
FORGET = _load("forget")
