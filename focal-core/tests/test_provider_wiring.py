"""What stands before a provider when Focal is open: chains, limits, the cache, hooks, tenants, and what is checked."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from focal_core.app import Focal
from focal_core.errors import AllFailed, ServerError, SettingsError, TenantRequiredError
from focal_core.providers.fallback import FallbackLLM
from focal_core.providers.limits import LimitedLLM
from focal_core.providers.models import CallOptions, LLMMessage, LLMRequest
from focal_core.settings import FocalSettings

pytestmark = pytest.mark.asyncio

ASKED = LLMRequest(messages=(LLMMessage(role="user", content="hi"),))
DOWN = {"use": "scripted", "model": "down-1", "script": ["never"], "fail_after_n": 0}
UP = {"use": "scripted", "model": "up-1", "script": ["hello"], "exhausted": "last"}

WIRE = """
    from focal_core.providers.options import ProviderOptions
    from focal_core.providers.scripted import ScriptedBackend, ScriptedLLM

    class WireBackend(ScriptedBackend):
        name = "wire"
        Options = ProviderOptions

        def __init__(self, options, context):
            self.options, self.context = options, context
            self._llm = ScriptedLLM(["hello"], exhausted="last", model=options.model)
"""

WATCHER = """
    from focal_core import hookimpl

    SEEN = []

    @hookimpl
    def focal_provider_attempt(provider, attempt, options):
        SEEN.append(("attempt", provider, attempt.outcome, options.tenant_id))

    @hookimpl
    def focal_provider_call(provider, port, response, error, request, options):
        SEEN.append(("call", provider, port, type(response).__name__, type(error).__name__, options.tenant_id))
"""


def layers(provider: Any) -> list[str]:
    """Return the classes of what stands before a provider, from the outside in."""
    found = [type(provider).__name__]
    while hasattr(provider, "_inner"):
        provider = provider._inner
        found.append(type(provider).__name__)
    return found


def chained(names: Any) -> dict[str, Any]:
    return {"providers": {"llm": names}, "backends": {"down": DOWN, "up": UP}}


async def test_a_list_of_backends_is_a_chain_that_names_who_answered() -> None:
    """The next one answers when the first cannot, whole and streamed."""
    async with Focal.open(chained(["down", "up"])) as focal:
        response = await focal.llm.generate(ASKED)
        async with focal.llm.stream(ASKED) as stream:
            streamed = await stream.response()

        assert (response.text, response.model, streamed.model) == ("hello", "up-1", "up-1")
        assert [one.outcome for one in response.attempts] == ["scripted_failure", "ok"]
        assert set(focal.backends) == {"down", "up"}
        assert focal.llm.model_id == "down-1"


async def test_a_chain_that_is_down_altogether_is_all_failed() -> None:
    """Every member's error is there."""
    settings = chained(["down", "other"])
    settings["backends"]["other"] = {**DOWN, "model": "other-1"}
    async with Focal.open(settings) as focal:
        with pytest.raises(AllFailed) as caught:
            await focal.llm.generate(ASKED)

    assert [type(error) for error in caught.value.exceptions] == [ServerError, ServerError]


async def test_a_chain_of_which_one_is_left_is_degraded_and_not_down(install: Any) -> None:
    """Only when nobody is left, or what is down serves another port too, focal is down."""
    source = """
        from focal_core.health import HealthReport
        from focal_core.providers.scripted import ScriptedBackend

        class IllBackend(ScriptedBackend):
            name = "ill"

            async def health(self):
                return HealthReport(status="down", latency_ms=0.0, backend="ill")
    """
    install("acme", backends={"ill": "acme_ill:IllBackend"}, modules={"acme_ill": source})

    for names, status in (["ill", "up"], "degraded"), (["up", "ill"], "degraded"), (["ill"], "down"), (["up"], "ok"):
        async with Focal.open(chained(names)) as focal:
            assert (await focal.health()).status == status
    settings = chained(["ill", "worse"])
    settings["backends"]["worse"] = {"use": "ill"}
    async with Focal.open(settings) as focal:
        assert (await focal.health()).status == "down"


async def test_one_backend_is_no_chain() -> None:
    """A name, or a list of one, is that provider."""
    for names in ("up", ["up"]):
        async with Focal.open(chained(names)) as focal:
            assert FallbackLLM.__name__ not in layers(focal.llm)
            assert focal.llm.name == "scripted"


async def test_a_chain_can_be_named_in_the_environment() -> None:
    """Separated by commas, with or without spaces."""
    settings = FocalSettings.load({"backends": {"down": DOWN, "up": UP}}, environ={"FOCAL_PROVIDERS__LLM": "down, up"})

    assert settings.backends_for("llm") == ("down", "up")
    assert settings.backend_for("llm") == "down"


@pytest.mark.parametrize("names", [[], ["up", "up"], ["up", ""]])
async def test_a_chain_names_each_backend_once(names: list[str]) -> None:
    """An empty chain, or one that asks one backend twice, is a mistake."""
    with pytest.raises(SettingsError, match=r"providers\.llm"):
        FocalSettings.load(chained(names), environ={})


async def test_every_member_of_a_chain_must_serve_the_port() -> None:
    """A backend of embeddings cannot stand in for a language model."""
    settings = chained(["up", "hashing"])

    with pytest.raises(Exception, match="backend 'hashing' does not serve llm"):
        await Focal.open(settings)


async def test_limits_of_a_backend_stand_before_its_provider(install: Any) -> None:
    """They are keys of the backend; without any of them nothing stands there."""
    install("acme", backends={"wire": "acme_wire:WireBackend"}, modules={"acme_wire": WIRE})

    for options, limited in ({}, False), ({"max_concurrency": 2}, True), ({"tokens_per_minute": "9"}, True):
        settings: dict[str, Any] = {"providers": {"llm": "wire"}, "backends": {"wire": {"model": "m", **options}}}
        async with Focal.open(settings) as focal:
            assert (LimitedLLM.__name__ in layers(focal.llm)) is limited
            assert (await focal.llm.generate_text("hi")).text == "hello"


async def test_a_backend_named_for_a_port_needs_its_model(install: Any) -> None:
    """The setting and the variable that sets it are named."""
    install("acme", backends={"wire": "acme_wire:WireBackend"}, modules={"acme_wire": WIRE})

    with pytest.raises(SettingsError, match=r"backends\.claude\.model is not set") as caught:
        await Focal.open({"providers": {"llm": "claude"}, "backends": {"claude": {"use": "wire"}}})

    assert "FOCAL_BACKENDS__CLAUDE__MODEL" in str(caught.value.hint)


async def test_the_vendors_own_address_is_the_last_source_of_base_url() -> None:
    """It acts when nothing else is set, and is shown as what it is."""
    from focal_core.providers.options import ProviderOptions

    environ = {"OPENAI_BASE_URL": "http://localhost:1/v1", "OPENAI_API_KEY": "k"}
    free = FocalSettings.load({"backends": {"gpt": {"use": "openai"}}}, environ=environ)
    taken = FocalSettings.load({"backends": {"gpt": {"use": "openai", "base_url": "http://mine"}}}, environ=environ)

    for settings, value, source in (
        (free, "http://localhost:1/v1", "OPENAI_BASE_URL"),
        (taken, "http://mine", "argument"),
    ):
        options = settings.backend_options("gpt", ProviderOptions)
        assert isinstance(options, ProviderOptions)
        assert options.base_url == value
        shown = {row.key: row for row in settings.shown({"gpt": ProviderOptions})}
        assert (shown["backends.gpt.base_url"].value, shown["backends.gpt.base_url"].source) == (value, source)
        assert shown["backends.gpt.api_key"].value == "***"


async def test_the_variable_that_holds_a_key_is_shown_and_the_key_is_not() -> None:
    """Whoever looks for a wrong key must see where it comes from."""
    from focal_core.providers.options import ProviderOptions

    given = {"use": "openai", "api_key_env": "MY_KEY", "headers": {"x-gateway": "hidden"}}
    settings = FocalSettings.load({"backends": {"gpt": given}}, environ={})
    shown = {row.key: row.value for row in settings.shown({"gpt": ProviderOptions})}

    assert shown["backends.gpt.api_key_env"] == "MY_KEY"
    assert "hidden" not in str(shown)


async def test_hooks_are_told_of_attempts_and_calls_with_their_tenant(install: Any) -> None:
    """Each member of a chain that was asked, the provider behind a cache only when it was asked."""
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": WATCHER})
    settings = chained(["down", "up"])
    settings["providers"] |= {"embedding": "hashing", "rerank": "hashing", "embedding_cache_mb": 1}
    tenant = uuid4()

    async with Focal.open(settings) as focal:
        import hooks_acme  # type: ignore[import-not-found]

        mine = focal.tenant(tenant)
        await mine.llm.generate_text("hi")
        async with mine.llm.stream(ASKED) as stream:
            await anext(stream)
        for _ in range(2):
            await mine.embedding.embed_one("text")
        await focal.rerank.rerank("a", ["b"])

    failed = ("attempt", "scripted", "scripted_failure", tenant)
    down = ("call", "scripted", "llm", "NoneType", "ServerError", tenant)
    assert [
        failed,
        down,
        ("attempt", "scripted", "ok", tenant),
        ("call", "scripted", "llm", "LLMResponse", "NoneType", tenant),
        failed,
        down,
        ("call", "scripted", "llm", "NoneType", "NoneType", tenant),
        ("call", "hashing", "embedding", "EmbeddingResponse", "NoneType", tenant),
        ("call", "hashing", "rerank", "RerankResponse", "NoneType", None),
    ] == hooks_acme.SEEN


async def test_a_hook_that_fails_changes_nothing(install: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The answer comes; the log names the plugin and the kind of error only."""
    source = """
        from focal_core import hookimpl

        @hookimpl
        def focal_provider_call(response):
            raise ValueError(response.text)
    """
    install("acme", hooks={"acme": "hooks_acme"}, modules={"hooks_acme": source})

    with caplog.at_level(logging.DEBUG):
        async with Focal.open(chained("up")) as focal:
            assert (await focal.llm.generate_text("hi")).text == "hello"

    assert "acme@acme failed in focal_provider_call: ValueError" in caplog.text
    assert "hello" not in caplog.text


async def test_the_tenant_of_a_view_cannot_be_another_one() -> None:
    """Options that name another tenant are refused, the own one is fine."""
    ours, theirs = uuid4(), uuid4()
    settings = chained("up")
    settings["providers"] |= {"embedding": "hashing", "rerank": "hashing"}
    async with Focal.open(settings) as focal:
        tenant = focal.tenant(ours)
        assert (await tenant.llm.generate(ASKED, options=CallOptions(tenant_id=ours))).text == "hello"
        wrong = CallOptions(tenant_id=theirs)
        with pytest.raises(TenantRequiredError):
            await tenant.llm.generate(ASKED, options=wrong)
        with pytest.raises(TenantRequiredError):
            tenant.llm.stream(ASKED, options=wrong)
        with pytest.raises(TenantRequiredError):
            await tenant.embedding.embed(["a"], options=wrong)
        with pytest.raises(TenantRequiredError):
            await tenant.rerank.rerank("a", ["b"], options=wrong)
        for view in (tenant.llm, tenant.embedding, tenant.rerank):
            await view.aclose()
        assert (await focal.llm.generate(ASKED)).text == "hello"


@pytest.mark.parametrize(
    ("vector", "code"),
    [
        ({"embedding_model": "other"}, "embedding_model_mismatch"),
        ({"spaces": ["focal-hashing-1:512"]}, "embedding_dimensions_mismatch"),
        ({"spaces": ["focal-hashing-1:512", "other:384"], "strict_spaces": True}, "embedding_space_unknown"),
        ({"spaces": ["focal-hashing-1:512", "focal-hashing-1:384"], "strict_spaces": True}, None),
        ({"spaces": ["other:512"]}, None),
    ],
)
async def test_embedding_model_and_dimensions_must_fit_the_configured_spaces(
    vector: dict[str, Any], code: str | None
) -> None:
    """What stores would refuse, or never find again, is refused when Focal is opened."""
    settings: dict[str, Any] = {
        "stores": {"memory": "inmemory"},
        "providers": {"embedding": "hashing"},
        "vector": vector,
    }

    if code is None:
        await (await Focal.open(settings)).close()
        return
    with pytest.raises(SettingsError) as caught:
        await Focal.open(settings)
    assert caught.value.code == code
    assert caught.value.hint


async def test_dimensions_must_be_those_of_the_vectors_a_store_holds(install: Any) -> None:
    """A store that tells what it holds is asked; other models' vectors are no obstacle."""
    source = """
        from focal_core.inmemory.backend import InMemoryBackend

        class FullBackend(InMemoryBackend):
            async def embedding_spaces(self):
                return {("focal-hashing-1", 384), ("other", 512)}
    """
    install("acme", backends={"full": "acme_full:FullBackend"}, modules={"acme_full": source})

    def opening(dimensions: int) -> Any:
        return Focal.open(
            {
                "stores": {"memory": "full"},
                "providers": {"embedding": "hashing"},
                "backends": {"hashing": {"dimensions": dimensions}},
            }
        )

    await (await opening(384)).close()
    with pytest.raises(SettingsError, match=r"512 dimensions, but .* have 384") as caught:
        await opening(512)
    assert caught.value.hint is not None
    assert "backends.hashing.dimensions = 384" in caught.value.hint
