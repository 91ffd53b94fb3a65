"""The facade: what opens, what is refused, what is closed, and the synchronous twin."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from focal_core import BackendContext, Focal, Isolation, ManualClock
from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Channel, Session
from focal_core.errors import (
    ConfigurationError,
    PluginLoadError,
    PluginNotFoundError,
    SchemaValidationError,
    SettingsError,
    StoreUnavailableError,
    TenantRequiredError,
)
from focal_core.maintenance import expire_profiles, keep_expiring
from focal_core.paging import Page
from focal_core.profile.models import ProfileField
from focal_core.runtime.models import ArchiveStream
from focal_core.settings import FocalSettings

FAKE = """
    import asyncio
    from pydantic import BaseModel, ConfigDict
    from focal_core.errors import StoreUnavailableError
    from focal_core.health import HealthReport
    from focal_core.inmemory.backend import InMemoryBackend

    events = []
    together = None

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        label: str = "fake"
        fail: str = ""
        meet: int = 0

    class FakeBackend(InMemoryBackend):
        name = "fake"
        Options = Options
        ports = {port: InMemoryBackend.ports[port] for port in ("audit", "sessions")}
        capabilities = frozenset()

        def __init__(self, options, context):
            super().__init__(options, context)
            if options.fail == "init":
                raise ValueError("CANARY")

        async def open(self):
            events.append(("open", self.options.label))
            if self.options.fail == "open":
                raise StoreUnavailableError(f"{self.options.label} does not answer", hint="start it")
            if self.options.fail == "bug":
                raise ValueError("CANARY")
            if self.options.meet:
                global together
                together = together or asyncio.Barrier(self.options.meet)
                await asyncio.wait_for(together.wait(), 5)
            if self.options.fail == "hang":
                await asyncio.Event().wait()

        def port(self, name):
            return 3 if self.options.fail == "type" else super().port(name)

        async def health(self):
            if self.options.fail == "health":
                raise ValueError("CANARY")
            if self.options.fail == "slow":
                await asyncio.Event().wait()
            return await super().health()

        async def close(self):
            events.append(("close", self.options.label))
            if self.options.fail == "close":
                raise ValueError("CANARY")
"""


PLAIN = """
    from focal_core.conversation.inmemory import InMemorySessionStore
    from focal_core.inmemory.backend import InMemoryBackend

    class PlainSessions(InMemorySessionStore):
        capabilities = frozenset({"two_tier"})

    class PlainBackend(InMemoryBackend):
        name = "plain"
        ports = {"sessions": "acme_plain:PlainSessions"}
        capabilities = frozenset({"two_tier"})
"""


@pytest.fixture
def fake(install: Any) -> Callable[[], list[tuple[str, str]]]:
    """Install the backend ``fake``; the result returns what its instances did, in order."""
    install("acme-fake", backends={"fake": "acme_fake:FakeBackend"}, modules={"acme_fake": FAKE})
    return lambda: sys.modules["acme_fake"].events  # type: ignore[no-any-return]


def two(**options: dict[str, Any]) -> dict[str, Any]:
    sections = {name: {"use": "fake", "label": name, **options.get(name, {})} for name in ("one", "two")}
    return {"stores": {"sessions": "one", "audit": "two"}, "backends": sections}


@pytest.mark.asyncio
async def test_one_backend_serves_every_store_port_from_one_line() -> None:
    """[stores] default = "inmemory" is a whole configuration."""
    async with Focal.open({"stores": {"default": "inmemory"}}) as focal:
        stores = [focal.config, focal.memory, focal.sessions, focal.audit, focal.profiles, focal.runtime]

        assert [store.port for store in stores] == ["config", "memory", "sessions", "audit", "profiles", "runtime"]
        assert list(focal.backends) == ["inmemory"]
        assert focal.audit is focal.audit


@pytest.mark.asyncio
async def test_a_file_is_read_and_overridden(in_folder: Path) -> None:
    """A path, with arguments over it; ./focal.toml and the environment when nothing is named."""
    (in_folder / "focal.toml").write_text('[stores]\naudit = "inmemory"\n')

    async with Focal.open("focal.toml", isolation="trusting") as focal:
        assert focal.context.isolation is Isolation.TRUSTING
        assert isinstance(focal.audit, InMemoryAuditStore)
    async with Focal.open() as focal:
        assert isinstance(focal.audit, InMemoryAuditStore)
    async with Focal.open(FocalSettings.load("focal.toml", environ={})) as focal:
        assert isinstance(focal.audit, InMemoryAuditStore)


@pytest.mark.asyncio
async def test_opening_may_be_awaited() -> None:
    """Without a context manager, close is the caller's."""
    focal = await Focal.open({"stores": {"audit": "inmemory"}})

    await focal.close()
    await focal.close()

    with pytest.raises(ConfigurationError, match="focal is closed") as caught:
        focal.audit  # noqa: B018
    assert caught.value.code == "closed"


@pytest.mark.asyncio
async def test_a_backend_opens_once_however_many_ports_it_serves(fake: Any) -> None:
    """One configured name is one resource."""
    async with Focal.open({"stores": {"audit": "fake", "sessions": "fake"}}):
        assert fake() == [("open", "fake")]


@pytest.mark.asyncio
async def test_backends_open_at_the_same_time_and_close_in_reverse(fake: Any) -> None:
    """Each waits for the other to begin; the last opened is closed first."""
    async with Focal.open(two(one={"meet": 2}, two={"meet": 2})):
        pass

    assert fake() == [("open", "one"), ("open", "two"), ("close", "two"), ("close", "one")]


@pytest.mark.asyncio
async def test_one_failure_is_raised_as_it_is_and_the_rest_is_closed(fake: Any) -> None:
    """The error keeps its type; nothing stays open."""
    with pytest.raises(StoreUnavailableError, match="one does not answer") as caught:
        await Focal.open(two(one={"fail": "open"}))

    assert caught.value.hint == "start it"
    assert ("close", "two") in fake()


@pytest.mark.asyncio
async def test_all_failures_are_told_at_once(fake: Any) -> None:
    """Two broken backends and a misspelt one are one error with three reasons and their hints."""
    settings = two(one={"fail": "open"}, two={"lable": "x"})
    settings["stores"]["config"] = "inmemroy"

    with pytest.raises(ConfigurationError) as caught:
        await Focal.open(settings)

    assert str(caught.value).startswith("3 failures\n")
    for part in ("one: one does not answer", "two: unknown key 'backends.two.lable'", "no backend named 'inmemroy'"):
        assert part in str(caught.value)
    for part in ("one: start it", "did you mean 'label'?", "did you mean 'inmemory'?"):
        assert part in (caught.value.hint or "")
    assert caught.value.details["failures"]["one"]["code"] == "unavailable"
    assert not caught.value.retryable


@pytest.mark.asyncio
async def test_failures_that_may_pass_are_retryable_together(fake: Any) -> None:
    """Servers that are not up yet: opening again is right."""
    with pytest.raises(ConfigurationError) as caught:
        await Focal.open(two(one={"fail": "open"}, two={"fail": "open"}))

    assert caught.value.retryable


@pytest.mark.parametrize("fail", ["init", "bug"])
@pytest.mark.asyncio
async def test_a_foreign_exception_becomes_ours_without_its_text(fake: Any, fail: str) -> None:
    """A driver's text may hold a password; the cause is kept for debugging."""
    with pytest.raises(ConfigurationError, match=r"backend 'one' .*: ValueError") as caught:
        await Focal.open(two(one={"fail": fail}))

    assert "CANARY" not in f"{caught.value} {caught.value.hint}"
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.asyncio
async def test_a_cancelled_opening_closes_what_was_opened(fake: Any) -> None:
    """Nothing is left behind by a timeout around the opening."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Focal.open(two(two={"fail": "hang"}))

    assert [event for event in fake() if event[0] == "close"] == [("close", "two"), ("close", "one")]


@pytest.mark.asyncio
async def test_a_port_of_the_wrong_type_is_refused(fake: Any) -> None:
    """What a backend hands out is checked against the port's ABC."""
    with pytest.raises(PluginLoadError, match=r"backend 'one' serves port 'sessions' with int, .* SessionStore"):
        await Focal.open(two(one={"fail": "type"}))

    assert ("close", "one") in fake()


@pytest.mark.asyncio
async def test_a_failing_close_is_logged_and_the_rest_goes_on(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Closing never raises what a backend raises, and never logs its text."""
    with caplog.at_level(logging.WARNING, "focal"):
        async with Focal.open(two(two={"fail": "close"})):
            pass

    assert fake()[-1] == ("close", "one")
    assert "backend 'two' failed to close: ValueError" in caplog.text
    assert "CANARY" not in caplog.text


@pytest.mark.asyncio
async def test_an_unconfigured_port_names_the_key_to_set() -> None:
    """Stores and providers alike, at first use."""
    async with Focal.open({"stores": {"audit": "inmemory"}}) as focal:
        with pytest.raises(ConfigurationError, match="port 'memory' is not configured: no backend") as caught:
            focal.memory  # noqa: B018
        assert caught.value.hint == "set stores.memory (or stores.default) in focal.toml, or FOCAL_STORES__MEMORY"
        with pytest.raises(ConfigurationError, match="port 'llm' is not configured") as caught:
            focal.tenant(uuid4()).llm  # noqa: B018
        assert caught.value.hint == "set providers.llm in focal.toml, or FOCAL_PROVIDERS__LLM"


@pytest.mark.asyncio
async def test_a_default_backend_serves_what_it_can(fake: Any) -> None:
    """A port it lacks is an error at first use, and at once when the port names it."""
    async with Focal.open({"stores": {"default": "fake"}}) as focal:
        assert isinstance(focal.sessions, InMemorySessionStore)
        with pytest.raises(ConfigurationError, match=r"backend 'fake' \(stores.default\) does not serve it"):
            focal.config  # noqa: B018
    with pytest.raises(ConfigurationError, match="backend 'fake' does not serve config; it serves audit, sessions"):
        await Focal.open({"stores": {"config": "fake"}})


@pytest.mark.asyncio
async def test_a_misspelt_section_name_is_corrected(fake: Any) -> None:
    """The user's own names are offered as well as the installed ones."""
    with pytest.raises(PluginNotFoundError) as caught:
        await Focal.open({"stores": {"default": "primry"}, "backends": {"primary": {"use": "fake"}}})

    assert caught.value.hint == "did you mean 'primary'?"


@pytest.mark.asyncio
async def test_health_is_one_report_that_never_raises(fake: Any) -> None:
    """A backend that raises or hangs is down; its text is not shown."""
    async with Focal.open(two()) as focal:
        report = await focal.health()
        assert (report.status, report.backend) == ("ok", "focal")
        assert {"one", "two", "one.memory", "two.memory"} <= report.checks.keys()
    async with Focal.open(two(one={"fail": "health"}, two={"fail": "slow"})) as focal:
        report = await focal.health(timeout_seconds=0.05)
        assert report.status == "down"
        assert report.checks["one.health"].detail == "ValueError"
        assert report.checks["two.health"].detail == "TimeoutError"


@pytest.mark.asyncio
async def test_plugins_wrap_stores_and_add_health_checks(install: Any) -> None:
    """What a hook returns is what the port hands out; a failing check degrades the report."""
    source = """
        from focal_core import CheckResult, hookimpl
        from focal_core.audit.inmemory import InMemoryAuditStore

        class Wrapped(InMemoryAuditStore):
            pass

        @hookimpl
        def focal_wrap_store(port, store, context, settings):
            return Wrapped(context) if port == "audit" and settings.isolation == "strict" else None

        async def full():
            return CheckResult(ok=False, detail="full")

        async def broken():
            return 1 / 0

        @hookimpl
        def focal_health_checks(focal):
            return {"disk": full, "broken": broken, "ports": fine} if focal.audit else {}

        async def fine():
            return CheckResult(ok=True)
    """
    install("acme", hooks={"acme": "acme_hooks"}, modules={"acme_hooks": source})

    async with Focal.open({"stores": {"audit": "inmemory"}}) as focal:
        assert type(focal.audit).__name__ == "Wrapped"
        report = await focal.health()

    assert report.status == "degraded"
    assert report.checks["acme.disk"].detail == "full"
    assert report.checks["acme.broken"].detail == "ZeroDivisionError"
    assert report.checks["acme.ports"].ok


@pytest.mark.asyncio
async def test_clock_and_context_can_be_given() -> None:
    """For replaying logs and for tests: the stores see the clock that was passed."""
    clock = ManualClock(datetime(2020, 1, 1, tzinfo=UTC))
    tenant = uuid4()

    async with Focal.open({"stores": {"audit": "inmemory"}}, clock=clock) as focal:
        event = AuditEvent(tenant_id=tenant, event_type="x")
        stored = await focal.audit.get_event(await focal.audit.save_event(event), tenant_id=tenant)
        assert stored is not None
        assert stored.recorded_at == clock.now()
    context = BackendContext(isolation=Isolation.TRUSTING)
    async with Focal.open({"stores": {"audit": "inmemory"}}, context=context, clock=clock) as focal:
        assert focal.context == BackendContext(isolation=Isolation.TRUSTING, clock=clock, id_factory=context.id_factory)


@pytest.mark.asyncio
async def test_a_configured_embedding_model_must_be_the_providers() -> None:
    """Vectors of one model would be searched under the name of another."""
    settings: dict[str, Any] = {"providers": {"embedding": "hashing"}, "vector": {"embedding_model": "other"}}

    with pytest.raises(SettingsError, match=r"vector\.embedding_model is 'other', but .* 'focal-hashing-1'") as caught:
        await Focal.open(settings)
    assert "focal-hashing-1" in (caught.value.hint or "")

    settings["vector"] = {"embedding_model": "focal-hashing-1"}
    async with Focal.open(settings) as focal:
        assert focal.embedding.model_id == "focal-hashing-1"


@pytest.mark.asyncio
async def test_profile_cache_without_redis_says_what_to_install(install: Any) -> None:
    """cache_enabled = true is refused as long as nothing can keep the cache."""
    # In place of the one beside us: a release that registers nothing.
    install("focal-redis", "0.0.1")
    with pytest.raises(PluginNotFoundError) as caught:
        await Focal.open({"stores": {"audit": "inmemory"}, "profile": {"cache_enabled": True}})

    assert "focal-redis" in (caught.value.hint or "")


CACHE = """
    from focal_core.inmemory.backend import InMemoryBackend
    from focal_core.profile.inmemory import InMemoryProfileStore

    class Cached(InMemoryProfileStore):
        pass

    class CacheBackend(InMemoryBackend):
        caches = frozenset({"profiles"})

        def cached(self, port, store, ttl_seconds):
            found = Cached(store.context)
            found.inner, found.ttl_seconds = store, ttl_seconds
            return found
"""


@pytest.mark.asyncio
async def test_a_backend_that_can_keeps_the_profile_cache(install: Any) -> None:
    """The section that can cache is found, opened, and handed the three lives."""
    install("acme-cache", backends={"cachy": "acme_cache:CacheBackend"}, modules={"acme_cache": CACHE})
    settings: dict[str, Any] = {
        "stores": {"profiles": "inmemory"},
        "backends": {"hot": {"use": "cachy"}, "cold": {"use": "inmemory"}, "gone": {"use": "nowhere"}},
        "profile": {"cache_enabled": True, "cache_ttl_seconds": 7, "validation_enabled": False},
    }

    async with Focal.open(settings) as focal:
        profiles: Any = focal.profiles
        assert type(profiles).__name__ == "Cached"
        assert profiles.ttl_seconds["profile"] == 7
        assert list(focal.backends) == ["inmemory", "hot"]

    settings["backends"]["hotter"] = {"use": "cachy"}
    with pytest.raises(SettingsError, match="several backends could keep the cache: hot, hotter"):
        await Focal.open(settings)


@pytest.mark.asyncio
async def test_fields_are_validated_unless_that_is_switched_off() -> None:
    """validation_enabled and validation_strict decide what a field without a definition may do."""
    stores = {"stores": {"profiles": "inmemory"}}
    tenant = uuid4()
    field = ProfileField(name="city", value="Oslo", value_type="string", source="user_provided")

    async def update(**profile: bool) -> None:
        async with Focal.open(stores, profile=profile) as focal:
            profiles = focal.tenant(tenant).profiles
            found = await profiles.get_or_create(Channel("webchat"), "user-17")
            await profiles.update_field(found.id, field)

    await update()
    await update(validation_enabled=False, validation_strict=True)
    with pytest.raises(SchemaValidationError):
        await update(validation_strict=True)


@pytest.mark.asyncio
async def test_a_redis_that_offers_no_cache_is_told_by_its_version(install: Any) -> None:
    """Installed is not enough; the remedy is another release."""
    install(
        "focal-redis",
        backends={"redis": "focal_core.inmemory.backend:InMemoryBackend"},
    )

    with pytest.raises(PluginNotFoundError, match=r"focal-redis 1\.0 offers no cache for profiles"):
        await Focal.open({"stores": {"audit": "inmemory"}, "profile": {"cache_enabled": True}}, backends={})


@pytest.mark.asyncio
async def test_a_named_archive_gets_a_copy_of_what_the_runtime_stores() -> None:
    """[runtime] archive combines two backends; closing writes what still waits."""
    settings = {
        "stores": {"runtime": "hot"},
        "backends": {"hot": {"use": "inmemory"}, "cold": {"use": "inmemory"}},
        "runtime": {"archive": "cold"},
    }
    tenant = uuid4()
    async with Focal.open(settings) as focal:
        assert list(focal.backends) == ["hot", "cold"]
        archive = focal.backends["cold"].port("runtime").archive
        await focal.tenant(tenant).runtime.add_conversation_message("s1", "user", "hello")
    copies = await archive.read(ArchiveStream.MESSAGE, "s1", tenant_id=tenant)

    assert len(copies) == 1


@pytest.mark.asyncio
async def test_a_backend_without_an_archive_is_refused_as_one(fake: Any) -> None:
    """The capability is asked before anything is written."""
    settings = {"stores": {"runtime": "inmemory"}, "backends": {"one": {"use": "fake"}}, "runtime": {"archive": "one"}}

    with pytest.raises(SettingsError, match="names backend 'one', which has no permanent archive"):
        await Focal.open(settings)


TIERED = {
    "stores": {"sessions": "lasting"},
    "backends": {"lasting": {"use": "inmemory"}, "quick": {"use": "fake", "label": "quick"}},
    "session": {"hot_tier": "quick"},
}


@pytest.mark.asyncio
@pytest.mark.parametrize("verify_hot", [True, False])
async def test_a_hot_tier_keeps_copies_of_the_sessions_in_use(fake: Any, verify_hot: bool) -> None:
    """[session] hot_tier combines two backends; each is opened once, and health tells of the tier."""
    tenant = uuid4()
    async with Focal.open(TIERED, session={"verify_hot": verify_hot}) as focal:
        assert list(focal.backends) == ["lasting", "quick"]
        assert focal.sessions.capabilities == {"two_tier"}
        one = Session(tenant_id=tenant, agent_id=uuid4(), channel=Channel.API, user_channel_id="u")
        await focal.sessions.save(one)
        hot, durable = (focal.backends[name].port("sessions") for name in ("quick", "lasting"))
        assert await hot.get(one.session_id, tenant_id=tenant) == one
        assert await durable.delete(one.session_id, tenant_id=tenant)
        assert (await focal.tenant(tenant).sessions.get(one.session_id) is None) is verify_hot
        report = await focal.health()
        assert (report.status, report.checks["session.hot_tier"].ok) == ("ok", True)
    assert fake() == [("open", "quick"), ("close", "quick")]


@pytest.mark.asyncio
async def test_a_hot_tier_that_is_down_degrades_and_no_more(fake: Any) -> None:
    """Without it everything is served; a backend that a port needs is another matter."""
    async with Focal.open(TIERED, backends={"quick": {"fail": "health"}}) as focal:
        report = await focal.health()
        assert (report.status, report.checks["quick"].detail) == ("degraded", "down")
    async with Focal.open(TIERED, stores={"audit": "quick"}, backends={"quick": {"fail": "health"}}) as focal:
        assert (await focal.health()).status == "down"


@pytest.mark.asyncio
async def test_a_failing_hot_tier_degrades_the_report(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sessions port meets counts, not only what the backend says of itself."""

    async def unanswered(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailableError("no answer")

    async with Focal.open(TIERED) as focal:
        monkeypatch.setattr(focal.backends["quick"].port("sessions"), "version_of", unanswered)
        report = await focal.health()
        assert (report.status, report.checks["session.hot_tier"].ok) == ("degraded", False)


@pytest.mark.asyncio
async def test_what_cannot_be_a_hot_tier_is_refused_by_name(fake: Any, install: Any) -> None:
    """An unknown backend, one without sessions, and one whose sessions keep no copies."""
    with pytest.raises(PluginNotFoundError, match="'nowhere'"):
        await Focal.open(TIERED, session={"hot_tier": "nowhere"})
    for name, use in (("vectors", "hashing"), ("plain", "plain")):
        if use == "plain":
            install("acme-plain", backends={"plain": "acme_plain:PlainBackend"}, modules={"acme_plain": PLAIN})
        backends = {name: {"use": use}}
        with pytest.raises(SettingsError, match=f"names backend '{name}', which cannot keep copies") as refused:
            await Focal.open(TIERED, session={"hot_tier": name}, backends=backends)
        assert "session_copies" in (refused.value.hint or "")


class _Profiles:
    """A store of three tenants in pages of two; the first sweep fails."""

    def __init__(self) -> None:
        self.tenants = sorted(uuid4() for _ in range(3))
        self.swept: list[Any] = []
        self.failures = 1
        self.done = asyncio.Event()

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[Any]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("not now")
        return Page(self.tenants[2:]) if after else Page(self.tenants[:2], "next")

    async def expire_stale_fields(self, tenant_id: Any) -> int:
        self.swept.append(tenant_id)
        if len(self.swept) == 3:
            self.done.set()
        return 2


@pytest.mark.asyncio
async def test_expiry_visits_every_tenant_and_survives_a_failing_round(caplog: pytest.LogCaptureFixture) -> None:
    """A round that fails is logged and repeated; the next one goes through all pages."""
    profiles: Any = _Profiles()

    task = asyncio.create_task(keep_expiring(profiles, 0.001))
    await asyncio.wait_for(profiles.done.wait(), 5)
    task.cancel()

    assert profiles.swept[:3] == profiles.tenants
    assert "to be tried again: StoreUnavailableError" in caplog.text
    assert await expire_profiles(profiles) == 6


def _sweeps() -> int:
    return sum(task.get_name() == "focal-expire-profiles" for task in asyncio.all_tasks())


@pytest.mark.asyncio
async def test_expiry_runs_while_focal_is_open_unless_switched_off() -> None:
    """auto_expire_enabled has an effect, and closing ends it."""
    stores = {"stores": {"profiles": "inmemory"}}
    async with Focal.open(stores):
        assert _sweeps() == 1
    assert _sweeps() == 0
    async with Focal.open(stores, profile={"auto_expire_enabled": False}):
        assert _sweeps() == 0


@pytest.mark.asyncio
async def test_a_tenant_that_is_no_uuid_is_refused() -> None:
    """None would mean everybody."""
    async with Focal.open({"stores": {"audit": "inmemory"}}) as focal:
        for wrong in (None, "acme", str(uuid4())):
            with pytest.raises(TenantRequiredError, match="a tenant is a UUID"):
                focal.tenant(wrong)  # type: ignore[arg-type]


def test_the_synchronous_twin_waits_for_every_call() -> None:
    """The same ports, without await, tenant views and health included."""
    tenant = uuid4()
    with Focal.open_sync({"stores": {"audit": "inmemory"}}) as focal:
        event = AuditEvent(tenant_id=tenant, event_type="x")
        view = focal.tenant(tenant)

        assert view.audit.save_event(event) == event.id
        assert focal.audit.get_event(event.id, tenant_id=tenant) == view.audit.get_event(event.id)
        assert focal.audit.for_tenant(tenant).get_event(event.id) == view.audit.get_event(event.id)
        assert focal.audit.port == "audit"
        assert focal.health().status == "ok"
        assert focal.settings.stores.audit == "inmemory"
        with pytest.raises(AttributeError, match="there is no port 'audti'"):
            focal.audti  # noqa: B018
        with pytest.raises(AttributeError, match="there is no port 'audti'"):
            view.audti  # noqa: B018
        with pytest.raises(TenantRequiredError):
            view.audit.save_event(AuditEvent(tenant_id=uuid4(), event_type="x"))
    focal.close()
    with pytest.raises(ConfigurationError, match="focal is closed"):
        focal.health()


def test_the_synchronous_twin_works_beside_a_running_loop() -> None:
    """A notebook has a loop of its own; the twin's is another, in another thread."""

    async def cell() -> str:
        with Focal.open_sync({"stores": {"audit": "inmemory"}}) as focal:
            return focal.health().status

    assert asyncio.run(cell()) == "ok"


def test_a_failing_synchronous_opening_leaves_no_thread() -> None:
    """The error is that of the opening."""
    import threading

    with pytest.raises(PluginNotFoundError):
        Focal.open_sync({"stores": {"audit": "inmemroy"}})

    assert "focal-loop" not in [thread.name for thread in threading.enumerate()]


class _Streaming:
    """What a provider's stream looks like: an async context manager of an async iterator."""

    port = "llm"

    def stream(self) -> _Streaming:
        return self

    async def __aenter__(self) -> _Streaming:
        self.left = 2
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left = -1

    def __aiter__(self) -> _Streaming:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


def test_streams_become_plain_context_managers_and_iterators() -> None:
    """A sync twin of a provider streams too."""
    from focal_core.sync import SyncTwin, _Loop

    loop, target = _Loop(), _Streaming()
    with SyncTwin(target, loop).stream() as stream:
        assert list(stream) == [1, 0]
    assert target.left == -1
    loop.stop()
