"""Hooks: every plugin guarded on its own, failures kept as data, results checked."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.context import BackendContext
from focal_core.errors import PluginLoadError, SettingsError
from focal_core.plugins.hooks import Hooks, load_hooks
from focal_core.settings import FocalSettings

WRAPPER = """
    from focal_core import hookimpl
    from focal_core.audit.inmemory import InMemoryAuditStore

    class Wrapped(InMemoryAuditStore):
        def __init__(self, inner, name):
            super().__init__(inner.context)
            self.inner, self.name = inner, name

    @hookimpl
    def focal_wrap_store(port, store):
        return Wrapped(store, __name__) if port == "audit" else None
"""


def wrapped(hooks: Hooks, store: Any) -> Any:
    return hooks.wrap_store("audit", store, BackendContext(), FocalSettings())


def test_without_plugins_nothing_is_wrapped() -> None:
    """The store itself comes back."""
    store = InMemoryAuditStore()

    assert wrapped(Hooks(()), store) is store


def test_wrappers_are_applied_in_order_of_plugin_name(install: Any) -> None:
    """The first stands nearest to the backend; directory order has no say."""
    install("zeta", hooks={"zeta": "hooks_zeta"}, modules={"hooks_zeta": WRAPPER})
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": WRAPPER})
    store = InMemoryAuditStore()

    outer = wrapped(load_hooks(), store)

    assert [outer.name, outer.inner.name] == ["hooks_zeta", "hooks_acme"]
    assert outer.inner.inner is store
    installed = [one.qualified for one in load_hooks().loaded if not one.distribution.startswith("focal-")]
    assert installed == ["acme@acme", "zeta@zeta"]


def test_a_hook_that_returns_none_leaves_the_store(install: Any) -> None:
    """A wrapper for one port does not touch another."""
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": WRAPPER})
    store = object()

    assert load_hooks().wrap_store("memory", store, BackendContext(), FocalSettings()) is store  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "failed to import: division by zero"),
        ("raise SystemExit", "failed to import: SystemExit"),
        ("import surely_absent", "No module named 'surely_absent'"),
        (WRAPPER.replace("focal_wrap_store", "focal_wrap_stroe"), "focal_wrap_stroe"),
        (WRAPPER.replace("(port, store)", "(port, shop)"), "shop"),
        (
            WRAPPER.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return Wrapped", "yield Wrapped"),
            "wrappers",
        ),
        ("x = 1", "it implements no hook"),
    ],
)
def test_a_plugin_that_fails_is_noted_once_and_disturbs_no_other(
    install: Any, caplog: pytest.LogCaptureFixture, source: str, reason: str
) -> None:
    """The failure is data and one log line; the plugin after it works, the broken one takes no part."""
    install("acme-broken", "0.1", hooks={"broken": "hooks_broken"}, modules={"hooks_broken": source})
    install("zeta", hooks={"zeta": "hooks_zeta"}, modules={"hooks_zeta": WRAPPER})

    with caplog.at_level(logging.WARNING, "focal.plugins"):
        hooks = load_hooks()
        load_hooks()

    assert [one.registration.qualified for one in hooks.failures] == ["broken@acme-broken"]
    error = hooks.failures[0].error
    assert isinstance(error, PluginLoadError)
    assert "plugin 'broken' (acme-broken 0.1, hooks_broken)" in str(error)
    assert reason in str(error)
    assert error.hint
    assert len(caplog.records) == 1
    assert wrapped(hooks, InMemoryAuditStore()).name == "hooks_zeta"


def test_a_wrapper_that_raises_stops_the_opening(install: Any) -> None:
    """A skipped wrapper could mean unencrypted data, so its failure is not passed over."""
    source = WRAPPER.replace("return Wrapped(store, __name__)", "return 1 / 0")
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": source})

    with pytest.raises(PluginLoadError, match="acme@acme failed to wrap the audit store: ZeroDivisionError"):
        wrapped(load_hooks(), InMemoryAuditStore())


def test_an_error_of_focals_own_leaves_a_wrapper_unchanged(install: Any) -> None:
    """A plugin may refuse settings with the error and hint of its choice."""
    source = """
        from focal_core import hookimpl
        from focal_core.errors import SettingsError

        @hookimpl
        def focal_wrap_store(port):
            raise SettingsError("no key", hint="set one")
    """
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": source})

    with pytest.raises(SettingsError, match="no key"):
        wrapped(load_hooks(), InMemoryAuditStore())


def test_a_wrapper_of_another_type_is_refused(install: Any) -> None:
    """A wrapped store is the same ABC."""
    source = WRAPPER.replace("return Wrapped(store, __name__)", "return 3")
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": source})

    with pytest.raises(PluginLoadError, match="in int, which is not a AuditStore") as caught:
        wrapped(load_hooks(), InMemoryAuditStore())

    assert caught.value.hint == "a wrapper must derive from focal_core.audit.store.AuditStore"


@pytest.mark.asyncio
async def test_health_checks_of_a_failing_plugin_are_a_failed_check(install: Any) -> None:
    """Observers are guarded one by one."""
    good = """
        from focal_core import CheckResult, hookimpl

        async def look():
            return CheckResult(ok=True)

        @hookimpl
        def focal_health_checks():
            return {"disk": look}
    """
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": good})
    install("bad", hooks={"bad": "hooks_bad"}, modules={"hooks_bad": good.replace("return {", "return 1 / 0 or {")})

    checks = load_hooks().health_checks(None)  # type: ignore[arg-type]

    assert {name: (await check()).ok for name, check in checks.items()} == {"acme.disk": True, "bad": False}


def test_commands_of_a_failing_plugin_are_left_out(install: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The others' commands are there."""
    good = """
        from focal_core import hookimpl

        @hookimpl
        def focal_add_commands(app):
            app.command("hello")(lambda: print("hello"))
    """
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": good})
    install("bad", hooks={"bad": "hooks_bad"}, modules={"hooks_bad": good.replace("app.command", "app.no_such")})
    import typer

    app = typer.Typer()
    load_hooks().add_commands(app)

    assert [command.name for command in app.registered_commands] == ["hello"]
    assert "bad@bad failed to add its commands: AttributeError" in caplog.text
