"""The command line: what it prints, and one clear message with a remedy for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from focal_core.cli.main import _plugin_commands, main
from focal_core.plugins import registry
from focal_core.settings import FocalSettings

FOCAL = [sys.executable, "-c", "from focal_core.cli.main import main; main()"]


@pytest.fixture
def focal(in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in an empty folder; the result is (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        _plugin_commands.cache_clear()
        monkeypatch.setattr(sys, "argv", ["focal", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        code = caught.value.code
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run


def test_plugins_list_shows_name_distribution_and_version(focal: Any) -> None:
    """A table for people."""
    code, out, _ = focal("plugins", "list")

    row = next(line.split() for line in out.splitlines() if line.strip().startswith("inmemory"))
    assert code == 0
    assert row[:3] == ["inmemory", "backend", "focal-core"]
    assert row[-1] == "registered"


def test_plugins_list_as_json_with_verification(focal: Any) -> None:
    """A list of objects for programs; ports are known once a backend was imported."""
    code, out, _ = focal("plugins", "list", "--verify", "--json")

    row = next(row for row in json.loads(out) if row["name"] == "inmemory")
    assert code == 0
    assert row["status"] == "ok"
    assert row["ports"] == ["config", "memory", "sessions", "audit", "profiles", "runtime"]
    assert row["contract"] == "1.1"
    assert {"distribution", "version", "target", "capabilities", "error", "hint", "kind"} <= row.keys()


def test_a_broken_plugin_is_a_row(focal: Any, install: Any) -> None:
    """Of backends and of hooks; the exit code stays 0, for listing them is what was asked."""
    install(
        "acme-mongo",
        "0.4",
        backends={"mongo": "acme_mongo:MongoBackend"},
        hooks={"noisy": "acme_hooks", "fine": "acme_fine"},
        modules={
            "acme_mongo": "import motor_that_is_not_there",
            "acme_hooks": "1 / 0",
            "acme_fine": "from focal_core import hookimpl\n@hookimpl\ndef focal_add_commands(app): pass",
        },
    )

    code, out, _ = focal("plugins", "list", "--verify")

    assert code == 0
    assert "mongo@acme-mongo: backend 'mongo' (acme-mongo 0.4, acme_mongo:MongoBackend) failed to import" in out
    assert "hint: acme-mongo needs 'motor_that_is_not_there', which is not installed here" in out
    rows = {row["name"]: row for row in json.loads(focal("plugins", "list", "--verify", "--json")[1])}
    assert (rows["mongo"]["status"], rows["mongo"]["kind"]) == ("broken", "backend")
    assert (rows["noisy"]["status"], rows["noisy"]["kind"]) == ("broken", "hooks")
    assert rows["fine"]["status"] == "ok"


def test_duplicate_names_are_rows_in_conflict(focal: Any, install: Any) -> None:
    """Seen without importing either."""
    install("acme-a", backends={"kv": "nowhere:A"})
    install("acme-b", backends={"kv": "nowhere:B"})

    rows = [row for row in json.loads(focal("plugins", "list", "--json")[1]) if row["name"] == "kv"]

    assert [row["status"] for row in rows] == ["conflict", "conflict"]
    assert rows[0]["hint"] == 'write use = "kv@acme-a" or use = "kv@acme-b"'


def test_config_show_tells_every_source_and_no_secret(
    focal: Any, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effective settings, wherever they came from."""
    Path("focal.toml").write_text(
        '[stores]\ndefault = "main"\n[backends.main]\nuse = "postgres"\nurl = "postgresql://ann:CANARY@db/focal"\n'
    )
    monkeypatch.setenv("FOCAL_BACKENDS__MAIN__PASSWORD", "CANARY")
    monkeypatch.setenv("FOCAL_ISOLATION", "trusting")

    code, out, _ = focal("config", "show", "--json")

    shown = json.loads(out)
    assert code == 0
    assert shown["isolation"] == {"value": "trusting", "source": "FOCAL_ISOLATION"}
    assert shown["backends.main.url"] == {"value": "postgresql://ann:***@db/focal", "source": "focal.toml"}
    assert shown["backends.main.password"] == {"value": "***", "source": "FOCAL_BACKENDS__MAIN__PASSWORD"}
    assert shown["limits.text_chars"] == {"value": 1_048_576, "source": "default"}
    assert "CANARY" not in out + focal("config", "show")[1]


def test_config_show_includes_the_options_of_backends_that_load(focal: Any, in_folder: Path) -> None:
    """Defaults of a backend are effective settings too."""
    Path("other.toml").write_text('[providers]\nembedding = "hashing"\n')

    shown = json.loads(focal("config", "show", "--config", "other.toml", "--json")[1])

    assert shown["providers.embedding"] == {"value": "hashing", "source": "other.toml"}
    assert shown["backends.hashing.use"] == {"value": "hashing", "source": "default"}
    assert shown["backends.hashing.dimensions"]["source"] == "default"


def test_init_writes_a_file_that_works_as_it_stands(focal: Any, in_folder: Path) -> None:
    """The starter is commented, loads, and everything it configures opens."""
    code, out, _ = focal("init")

    assert code == 0
    assert "wrote focal.toml" in out
    assert Path("focal.toml").read_text().count("#") > 10
    assert FocalSettings.load(environ={}).stores.default == "inmemory"
    assert focal("doctor")[0] == 0


def test_init_never_overwrites_unless_forced(focal: Any, in_folder: Path) -> None:
    """A file of the user's is kept."""
    Path("focal.toml").write_text("# mine\n")

    code, _, err = focal("init")

    assert code == 1
    assert err == "error: focal.toml exists already\nhint: focal init focal.toml --force overwrites it\n"
    assert Path("focal.toml").read_text() == "# mine\n"
    assert focal("init", "--force")[0] == 0
    assert Path("focal.toml").read_text() != "# mine\n"


def test_init_takes_a_file_or_a_folder(focal: Any, in_folder: Path) -> None:
    """A folder gets a focal.toml; a folder that is not there is an error."""
    Path("sub").mkdir()

    assert focal("init", "sub")[0] == 0
    assert focal("init", "sub/other.toml")[0] == 0
    assert sorted(path.name for path in Path("sub").iterdir()) == ["focal.toml", "other.toml"]
    code, _, err = focal("init", "nowhere/focal.toml")
    assert code == 1
    assert "error: cannot write nowhere/focal.toml: No such file or directory" in err


def test_doctor_tells_what_is_configured_and_what_is_missing(focal: Any, in_folder: Path) -> None:
    """Ports without a backend are no fault."""
    Path("focal.toml").write_text('[stores]\naudit = "inmemory"\n[backends.spare]\nuse = "postgres"\n')

    code, out, _ = focal("doctor", "--json")

    report = json.loads(out)
    status = {check["subject"]: check["status"] for check in report["checks"]}
    assert code == 0
    assert report["ok"] is True
    assert (status["settings"], status["port audit"], status["port llm"]) == ("ok", "ok", "missing")
    assert (status["opening"], status["health inmemory"]) == ("ok", "ok")
    assert status["backends.spare"] == "unused"


def test_doctor_tells_of_the_hot_tier(focal: Any, in_folder: Path) -> None:
    """What stands before the sessions is looked at like a port, opened, and asked for its health."""
    settings = '[stores]\nsessions = "lasting"\n[backends.lasting]\nuse = "inmemory"\n[session]\nhot_tier = "{}"\n'
    Path("focal.toml").write_text(settings.format("inmemory"))

    code, out, _ = focal("doctor", "--json")

    status = {check["subject"]: check["status"] for check in json.loads(out)["checks"]}
    assert code == 0
    assert (status["session.hot_tier"], status["health inmemory"], status["health session.hot_tier"]) == ("ok",) * 3
    assert json.loads(focal("config", "show", "--json")[1])["session.hot_tier"]["value"] == "inmemory"

    Path("focal.toml").write_text(settings.format("hashing"))
    code, out, _ = focal("doctor", "--json")
    found = {check["subject"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert found["session.hot_tier"]["status"] == "missing"
    assert "cannot keep copies" in found["opening"]["detail"]


def test_doctor_tells_which_ports_the_default_backend_does_not_serve(focal: Any, install: Any, in_folder: Path) -> None:
    """A default backend with fewer ports than focal leaves the others without one."""
    source = """
        from focal_core.inmemory.backend import InMemoryBackend

        class AuditOnly(InMemoryBackend):
            name = "acme"
            ports = {"audit": InMemoryBackend.ports["audit"]}
            capabilities = frozenset({"purge"})
    """
    install("acme", backends={"acme": "acme_backend:AuditOnly"}, modules={"acme_backend": source})
    Path("focal.toml").write_text('[stores]\ndefault = "acme"\n')

    code, out, _ = focal("doctor", "--json")

    found = {check["subject"]: check for check in json.loads(out)["checks"]}
    assert code == 0
    assert found["port audit"]["status"] == "ok"
    assert found["port memory"]["status"] == "missing"
    assert "does not serve it" in found["port memory"]["detail"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "focal init writes a starter focal.toml"),
        ("[stores]\ndefualt = 'inmemory'\n", "did you mean 'default'?"),
        ("[stores]\ndefault = 'inmemroy'\n", "did you mean 'inmemory'?"),
        ("[stores]\naudit = 'inmemory'\n[backends.inmemory]\nurl = 'x'\n", "it has no settings"),
        ("[stores]\naudit = 'hashing'\nsessions = 'inmemory'\n[backends.inmemory]\nurl = 'x'\n", "opening hashing"),
    ],
)
def test_doctor_fails_with_a_remedy(focal: Any, in_folder: Path, content: str | None, found: str) -> None:
    """Exit code 1, the finding, and what to do."""
    if content is not None:
        Path("focal.toml").write_text(content)

    code, out, err = focal("doctor")

    assert code == 1
    assert found in out
    assert "something needs attention" in out
    assert err == ""


def test_doctor_names_plugins_that_failed_and_checks_that_do(focal: Any, install: Any, in_folder: Path) -> None:
    """Hooks are part of what works or does not."""
    unwell = """
        from focal_core import CheckResult, hookimpl

        async def full():
            return CheckResult(ok=False, detail="disk full")

        @hookimpl
        def focal_health_checks():
            return {"disk": full}
    """
    install("acme", hooks={"bad": "acme_bad", "ill": "acme_ill"}, modules={"acme_bad": "1 / 0", "acme_ill": unwell})
    Path("focal.toml").write_text('[stores]\naudit = "inmemory"\n')

    code, out, _ = focal("doctor")

    assert code == 1
    assert "plugin bad@acme" in out
    assert "disk full" in out


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("config", "show", "--config", "gone.toml"), "there is no settings file gone.toml", "focal init gone.toml"),
        (("config", "show", "--config", "bad.toml"), "bad.toml is not valid TOML", "correct that line"),
        (("config", "show", "--config", "typo.toml"), "unknown key 'store' (typo.toml)", "did you mean 'stores'?"),
    ],
)
def test_a_mistake_is_one_message_with_its_remedy(
    focal: Any, in_folder: Path, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    """No traceback, exit code 1, nothing on stdout."""
    Path("bad.toml").write_text("= 3")
    Path("typo.toml").write_text("[store]\n")

    code, out, err = focal(*arguments)

    assert code == 1
    assert out == ""
    assert err.startswith(f"error: {error}")
    assert f"hint: {hint}\n" in err


@pytest.mark.parametrize(
    "arguments", [("plugin", "list"), ("plugins", "lst"), ("config", "show", "--jsn"), ("init", "a", "b")]
)
def test_wrong_usage_is_exit_code_2(focal: Any, arguments: tuple[str, ...]) -> None:
    """Usage errors are told apart from errors of the work."""
    code, _, err = focal(*arguments)

    assert code == 2
    assert "Usage:" in err


def test_a_misspelt_command_is_corrected(focal: Any) -> None:
    """The nearest command is offered."""
    assert "Did you mean 'plugins'?" in focal("plugin", "list")[2]


def test_an_unexpected_error_shows_itself(focal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is not dressed up as a message."""
    monkeypatch.setattr(registry, "statuses", lambda **_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["focal", "plugins", "list"])

    with pytest.raises(ZeroDivisionError):
        main()


def test_help_lists_every_command_and_those_of_plugins(focal: Any, install: Any) -> None:
    """Plugins add commands; they cannot replace ours."""
    source = """
        from focal_core import hookimpl

        @hookimpl
        def focal_add_commands(app):
            @app.command()
            def greet() -> None:
                "Say hello."
                print("hello from a plugin")

            @app.command()
            def init() -> None:
                print("not ours")
    """
    install("acme", hooks={"acme": "acme_hooks"}, modules={"acme_hooks": source})

    code, out, _ = focal("--help")

    assert code == 0
    for command in ("init", "doctor", "plugins", "config", "replay", "demo", "greet"):
        assert command in out
    assert focal("greet")[1] == "hello from a plugin\n"
    assert "not ours" not in focal("init")[1]


def test_version(focal: Any) -> None:
    """One line."""
    code, out, _ = focal("--version")

    assert code == 0
    assert out.startswith("focal-core 0.")


def _modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()}


HEAVY = {
    "asyncpg",
    "redis",
    "sqlalchemy",
    "alembic",
    "anthropic",
    "openai",
    "numpy",
    "pytest",
    "typer",
    "rich",
    "pydantic_settings",
}


def test_importing_focal_core_loads_no_driver_sdk_or_terminal_library() -> None:
    """Neither the package nor its public names."""
    assert not _modules_after("import focal_core") & {*HEAVY, "pydantic", "pluggy"}
    assert not _modules_after("from focal_core import *") & HEAVY


def test_listing_plugins_loads_no_store_and_no_replay() -> None:
    """What is not needed is not imported."""
    code = """
import sys
from focal_core.cli.main import main
sys.argv = ["focal", "plugins", "list"]
try:
    main()
except SystemExit:
    print([module for module in sys.modules if module.startswith("focal_core")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = done.stdout.splitlines()[-1]
    assert "focal_core.plugins.registry" in loaded
    for module in ("focal_core.cli.replay", "focal_core.app", "focal_core.plugins.hooks", "focal_core.inmemory"):
        assert module not in loaded


def test_the_console_script_reports_errors_without_traceback(in_folder: Path) -> None:
    """The whole process: message, hint, exit code."""
    done = subprocess.run(
        [*FOCAL, "config", "show", "--config", "gone.toml"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == "error: there is no settings file gone.toml\nhint: focal init gone.toml\n"


def test_unknown_public_names_are_attribute_errors() -> None:
    """A typo in an import is told as Python tells it."""
    import focal_core

    assert set(focal_core.__all__) <= set(dir(focal_core))
    with pytest.raises(AttributeError, match="no attribute 'Focl'"):
        focal_core.Focl  # noqa: B018
