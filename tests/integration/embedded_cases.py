"""What every embedded server keeps, whichever server it is: who starts it, who shares it, who stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest

from focal_core.embedded.membership import EmbeddedServer
from focal_core.embedded.watcher import Process
from focal_core.errors import SettingsError
from focal_testkit.servers.waiting import until

SECONDS = 60

CHILD = """
import json, sys
from importlib import import_module
from pathlib import Path

embedded = import_module(sys.argv[1])
server = embedded.join(Path(sys.argv[2]), settings=json.loads(sys.argv[3]))
print(server.pid, server.url, flush=True)
if sys.stdin.readline().strip() == "leave":
    embedded.leave(server)
    print("left", flush=True)
    sys.stdin.readline()
"""

JOINING_CHILD = """
import os, sys
from importlib import import_module
from pathlib import Path

embedded = import_module(sys.argv[1])
server = embedded.join(Path(sys.argv[2]))
reads, writes = os.pipe()
if os.fork() == 0:
    own = embedded.join(Path(sys.argv[2]))
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
from importlib import import_module
from pathlib import Path

embedded = import_module(sys.argv[1])
server = embedded.join(Path(sys.argv[2]))
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
embedded.leave(server)
print("parent left", flush=True)
os.wait()
"""


class Joiner:
    """Another process that has joined, or is about to: ``joined`` waits for it."""

    def __init__(self, module: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, module, str(folder), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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


class EmbeddedCases:
    """A subclass names the module of a backend's embedded server and tells how to use such a server.

    ``settings`` are those of joins that need not be durable; ``interrupted`` is a program that joins the folder of its
    argument, and is killed when it has started a server that is slow to tell its number.
    """

    module: ClassVar[str]
    interrupted: ClassVar[str]
    settings: ClassVar[Mapping[str, str]] = {}

    @property
    def embedded(self) -> Any:
        return import_module(self.module)

    def process(self, folder: Path) -> Process:
        """Return how the server of a folder is found."""
        raise AssertionError("a subclass tells")

    def keep(self, url: str, value: int) -> None:
        """Store the number under the one name that ``kept`` reads."""
        raise AssertionError("a subclass tells")

    def kept(self, url: str) -> int | None:
        """Return what was stored, or None."""
        raise AssertionError("a subclass tells")

    def take_port(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        """Let the server believe that a port is free."""
        raise AssertionError("a subclass tells")

    def enter_with(self, url: str) -> None:
        """Raise unless the address lets one in."""
        self.kept(url)

    @pytest.fixture
    def joiner(self) -> Iterator[Callable[[Path], Joiner]]:
        started: list[Joiner] = []

        def start(folder: Path) -> Joiner:
            started.append(Joiner(self.module, folder, self.settings))
            return started[-1]

        yield start
        for one in started:
            if one.process.poll() is None:
                one.end(kill=True)

    def runs(self, pid: int, folder: Path) -> bool:
        return self.process(folder).is_server(pid)

    def ends(self, pid: int, folder: Path) -> bool:
        """Wait until a server has ended; False when it has not in time."""
        give_up = time.monotonic() + SECONDS
        while self.runs(pid, folder) and time.monotonic() < give_up:
            time.sleep(0.01)
        return not self.runs(pid, folder)

    def test_a_new_folder_becomes_a_server_that_keeps_its_data(self, place: Path) -> None:
        """Folders on the way are made, and what was written is there after a stop and a start, at the same address."""
        server = self.embedded.join(place / "not" / "there")
        self.keep(server.url, 42)
        self.embedded.leave(server)
        assert not self.runs(server.pid, server.folder)
        again = self.embedded.join(place / "not" / "there")
        try:
            assert again.url == server.url
            assert self.kept(again.url) == 42
        finally:
            self.embedded.leave(again)

    def test_the_server_stops_with_the_last_leave_of_a_process(self, folder: Path) -> None:
        """Joins of one process are counted; a leave too many is nothing."""
        first, second = self.embedded.join(folder), self.embedded.join(folder)
        assert first == second
        self.embedded.leave(first)
        assert self.runs(first.pid, folder)
        self.embedded.leave(second)
        assert not self.runs(first.pid, folder)
        self.embedded.leave(second)

    def test_the_server_stops_with_the_last_process(self, folder: Path, joiner: Callable[[Path], Joiner]) -> None:
        """Processes share one server, whoever started it; the last to leave stops it before its leave returns."""
        one, two = joiner(folder), joiner(folder)
        (pid, url), (same, same_url) = one.joined(), two.joined()
        assert (pid, url) == (same, same_url)
        one.leave()
        assert self.runs(pid, folder)
        self.enter_with(url)
        two.leave()
        assert not self.runs(pid, folder)

    def test_a_process_that_ends_has_left(self, folder: Path, joiner: Callable[[Path], Joiner]) -> None:
        """Who forgets to leave leaves at its end."""
        one = joiner(folder)
        pid, _ = one.joined()
        one.end()
        assert not self.runs(pid, folder)

    def test_a_killed_process_does_not_count(self, folder: Path, joiner: Callable[[Path], Joiner]) -> None:
        """SIGKILL is a leave: the server stays for the others and stops with the last of them."""
        killed = joiner(folder)
        pid, _ = killed.joined()
        server = self.embedded.join(folder)
        killed.end(kill=True)
        assert server.pid == pid
        self.enter_with(server.url)
        self.embedded.leave(server)
        assert not self.runs(pid, folder)

    def test_a_join_that_was_killed_half_way_leaves_no_server(self, folder: Path) -> None:
        """A server that was started and not awaited ends all the same, however late it tells its number."""
        starter = subprocess.run([sys.executable, "-c", self.interrupted, str(folder)], check=False)
        assert starter.returncode == -signal.SIGKILL
        assert self.process(folder).is_served()
        until(lambda: not self.process(folder).is_served(), "the server has ended", seconds=SECONDS)
        assert self.process(folder).pid() is None

    def test_the_server_stops_when_all_its_processes_were_killed(
        self, folder: Path, joiner: Callable[[Path], Joiner]
    ) -> None:
        """Nobody is left to stop it, and it stops all the same; the folder is as good as before."""
        both = joiner(folder), joiner(folder)
        pids = {one.joined()[0] for one in both}
        for one in both:
            one.end(kill=True)
        assert all(self.ends(pid, folder) for pid in pids)
        server = self.embedded.join(folder)
        try:
            self.enter_with(server.url)
        finally:
            self.embedded.leave(server)

    def test_a_restarted_server_is_watched_again(self, folder: Path, joiner: Callable[[Path], Joiner]) -> None:
        """A server that was started anew after its watcher had gone stops too when its process is killed."""
        for _ in range(3):
            one = joiner(folder)
            pid, _ = one.joined()
            one.end(kill=True)
            assert self.ends(pid, folder)

    def test_twelve_processes_join_an_empty_folder_at_once(self, place: Path, joiner: Callable[[Path], Joiner]) -> None:
        """One makes the data and starts the server; all get the same one."""
        everybody = [joiner(place / "server") for _ in range(12)]
        ((pid, _),) = {one.joined() for one in everybody}
        assert self.process(place / "server").pid() == pid
        with ThreadPoolExecutor(len(everybody)) as executor:
            list(executor.map(Joiner.leave, everybody))
        assert not self.runs(pid, place / "server")

    def test_threads_join_and_leave_at_once(self, folder: Path) -> None:
        """Threads of one process may join and leave in any order; whoever has joined has a server."""
        together = threading.Barrier(4)

        def use(number: int) -> None:
            for _ in range(3):
                together.wait(SECONDS)
                server = self.embedded.join(folder)
                self.enter_with(server.url)
                self.embedded.leave(server)

        with ThreadPoolExecutor(4) as executor:
            list(executor.map(use, range(4)))
        assert self.process(folder).pid() is None

    def test_two_folders_are_two_servers(self, folder: Path, place: Path) -> None:
        """Each folder has its port, its password and its data."""
        one, two = self.embedded.join(folder), self.embedded.join(place / "another", settings=self.settings)
        try:
            assert one.url != two.url
            assert one.pid != two.pid
            self.keep(one.url, 1)
            assert self.kept(two.url) is None
        finally:
            self.embedded.leave(one)
            self.embedded.leave(two)

    def test_a_forked_child_neither_keeps_nor_stops_the_server(self, folder: Path) -> None:
        """What the parent joined is the parent's: the child's end changes nothing, its life does not hold it."""
        server = self.embedded.join(folder)
        reads, writes = os.pipe()
        child = self.family(FORKING, folder, reads)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "parent left\n"
            assert self.runs(server.pid, folder)
            self.embedded.leave(server)
            assert not self.runs(server.pid, folder)
        finally:
            os.close(writes)
            child.communicate(timeout=SECONDS)

    def test_a_forked_child_joins_for_itself(self, folder: Path) -> None:
        """A child that joins is a process of its own: the parent's leave is not the child's."""
        reads, writes = os.pipe()
        family = self.family(JOINING_CHILD, folder, reads)
        try:
            assert family.stdout is not None
            pid = int(family.stdout.readline())
            assert family.stdout.readline() == "parent left\n"
            assert self.runs(pid, folder)
            os.close(writes)
            assert family.stdout.readline() == "child left\n"
            assert not self.runs(pid, folder)
        finally:
            family.communicate(timeout=SECONDS)

    def family(self, code: str, folder: Path, reads: int) -> subprocess.Popen[str]:
        """Start a process that forks, with the end of a pipe as its input."""
        process = subprocess.Popen(
            [sys.executable, "-c", code, self.module, str(folder)], stdin=reads, stdout=subprocess.PIPE, text=True
        )
        os.close(reads)
        return process

    def test_a_killed_server_starts_again_at_the_same_address(self, folder: Path) -> None:
        """After SIGKILL the next join recovers what was acknowledged."""
        server = self.embedded.join(folder)
        self.keep(server.url, 42)
        self.embedded.stop(server, mode="kill")
        assert not self.runs(server.pid, folder)
        again = self.embedded.join(folder)
        try:
            assert again.url == server.url
            assert again.pid != server.pid
            assert self.kept(again.url) == 42
        finally:
            self.embedded.leave(again)
            self.embedded.leave(server)

    def test_a_pid_of_another_process_is_not_taken_for_the_server(self, folder: Path) -> None:
        """A pid file may outlive its server, and its number be given to a process of the same user."""
        server = self.embedded.join(folder)
        self.embedded.stop(server, mode="kill")
        owner = (folder / "data").stat()
        user: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
        bystander = subprocess.Popen(["sleep", "600"], **user)
        try:
            found = self.process(folder)
            found.pid_file.write_text("\n".join([str(bystander.pid), *found.lines()[1:]]) + "\n")
            self.embedded.leave(server)
            again = self.embedded.join(folder)
            self.enter_with(again.url)
            self.embedded.leave(again)
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait(SECONDS)

    @pytest.mark.parametrize("seen", [True, False], ids=["before", "in_between"])
    def test_a_taken_port_is_replaced(self, folder: Path, monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
        """The port of the last start is used again only if it is free, also when it is taken in the last moment."""
        server = self.embedded.join(folder)
        self.embedded.leave(server)
        port = port_of(server)
        if not seen:
            self.take_port(monkeypatch, port)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            again = self.embedded.join(folder)
            try:
                assert again.url != server.url
                self.enter_with(again.url)
            finally:
                self.embedded.leave(again)

    def test_nobody_else_gets_in(self, folder: Path) -> None:
        """The password is asked for and kept from others, as are the data; no text shows it."""
        server = self.embedded.join(folder)
        try:
            password = (folder / "password").read_text()
            assert password in server.url
            assert password not in repr(server)
            assert password not in (folder / "server.log").read_text()
            assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
            assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
            readable = [path for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077]
            assert not any(password in path.read_text() for path in readable)
            with pytest.raises(Exception, match="password"):
                self.enter_with(server.url.replace(password, "guess"))
        finally:
            self.embedded.leave(server)

    def test_a_file_is_no_folder(self, place: Path) -> None:
        """A path that cannot be a folder is an error of settings."""
        (place / "file").write_text("")
        with pytest.raises(SettingsError) as caught:
            self.embedded.join(place / "file")
        assert caught.value.code == "embedded_folder"

    def test_an_interrupt_of_the_terminal_does_not_reach_the_server(self, folder: Path) -> None:
        """Control-C ends the program, which then leaves; the server is not in its process group."""
        server = self.embedded.join(folder)
        try:
            assert os.getpgid(server.pid) != os.getpgid(0)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            self.embedded.leave(server)


def port_of(server: EmbeddedServer) -> int:
    """Return the port in a server's address."""
    return int(server.url.rpartition(":")[2].partition("/")[0])
