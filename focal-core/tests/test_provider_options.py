"""The settings provider backends share, and prices."""

from __future__ import annotations

import sys
from decimal import Decimal
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import SecretStr, ValidationError

from focal_core.errors import MissingCredentials, SettingsError
from focal_core.providers.models import CallOptions, ProviderCapabilities
from focal_core.providers.options import ProviderOptions
from focal_core.providers.prices import ModelPrice, StaticPrices
from focal_core.settings import FocalSettings
from focal_core.usage import TokenUsage

KEY = "sk-very-secret"


def test_provider_x5_a_key_is_taken_from_the_setting_or_the_variable_it_names() -> None:
    """``api_key`` is the key, ``api_key_env`` names where it is; spaces around it are no part of it."""
    assert ProviderOptions(api_key=SecretStr(f" {KEY}\n")).key("wire", "WIRE_API_KEY").get_secret_value() == KEY
    named = ProviderOptions(api_key_env="MY_KEY")
    assert named.key("wire", "WIRE_API_KEY", {"MY_KEY": KEY}).get_secret_value() == KEY


def test_provider_x5_two_places_for_a_key_are_an_error() -> None:
    """One of them would be ignored in silence."""
    with pytest.raises(ValidationError, match="both set"):
        ProviderOptions(api_key=SecretStr(KEY), api_key_env="MY_KEY")


@pytest.mark.parametrize("given", [{}, {"api_key": "  "}, {"api_key": ""}, {"api_key_env": " "}])
def test_provider_x5_a_missing_key_names_the_setting_and_the_variable(given: dict[str, str]) -> None:
    """A blank key is none; the error says where one can be put."""
    settings = FocalSettings.load({"backends": {"claude": {"use": "wire", **given}}}, environ={})
    options = settings.backend_options("claude", ProviderOptions)
    assert isinstance(options, ProviderOptions)

    with pytest.raises(MissingCredentials) as caught:
        options.key("wire", "WIRE_API_KEY", {})

    assert "backends.claude.api_key" in str(caught.value)
    assert "WIRE_API_KEY" in str(caught.value.hint)
    assert "FOCAL_BACKENDS__CLAUDE__API_KEY" in str(caught.value.hint)
    assert isinstance(caught.value, SettingsError)


def test_provider_x5_a_named_variable_that_is_empty_is_named() -> None:
    """The variable that was configured is the one to set, not the vendor's."""
    with pytest.raises(MissingCredentials, match="MY_KEY") as caught:
        ProviderOptions(api_key_env="MY_KEY").key("wire", "WIRE_API_KEY", {"MY_KEY": " ", "WIRE_API_KEY": KEY})

    assert "WIRE_API_KEY" not in str(caught.value.hint)


def test_provider_x5_a_refused_key_can_be_traced_to_where_it_came_from() -> None:
    """The place is a variable, or a setting with its source."""
    shared = FocalSettings.load({"backends": {"gpt": {"use": "openai"}}}, environ={"OPENAI_API_KEY": KEY})
    options = shared.backend_options("gpt", ProviderOptions)
    assert isinstance(options, ProviderOptions)
    assert options.key_place("openai") == "OPENAI_API_KEY"

    set_here = FocalSettings.load(
        {"backends": {"gpt": {"use": "openai"}}}, environ={"FOCAL_BACKENDS__GPT__API_KEY": KEY}
    ).backend_options("gpt", ProviderOptions)
    assert isinstance(set_here, ProviderOptions)
    assert set_here.key_place("openai") == "FOCAL_BACKENDS__GPT__API_KEY"

    assert ProviderOptions(api_key=SecretStr(KEY)).key_place("openai") == "backends.openai.api_key"
    assert ProviderOptions(api_key_env="MY_KEY").key_place("openai") == "MY_KEY"


def test_provider_x2_no_secret_is_shown() -> None:
    """Neither the key nor the value of a header stands in repr or dump."""
    options = ProviderOptions(api_key=SecretStr(KEY), headers={"x-gateway": SecretStr(KEY)})

    assert KEY not in repr(options) + str(options.model_dump())
    assert options.header_values() == {"x-gateway": KEY}


@pytest.mark.parametrize(
    "wrong",
    [
        {"modell": "m"},
        {"base_url": "api.example"},
        {"max_tokens": 0},
        {"attempt_timeout": 0},
        {"deadline": float("inf")},
        {"http": "requests"},
        {"max_concurrency": 0},
        {"prices": {"m": {"input": -1}}},
    ],
)
def test_provider_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    """Unknown keys and impossible values are errors at open, not surprises later."""
    with pytest.raises(ValidationError):
        ProviderOptions.model_validate(wrong)


def test_provider_limits_of_a_call_go_before_the_settings() -> None:
    """What the call leaves open, the backend's settings fill."""
    settings = ProviderOptions(deadline=60.0, max_attempts=5, idle_timeout=9.0)

    limits = settings.limits(CallOptions(deadline=1.0, max_retry_after=0.0))

    assert (limits.deadline, limits.max_attempts, limits.idle_timeout) == (1.0, 5, 9.0)
    assert (limits.max_retry_after, limits.attempt_timeout, limits.first_event_timeout) == (0.0, 120.0, None)


def test_provider_capabilities_configured_for_a_model_go_before_what_is_known() -> None:
    """A model's own section wins over ``*``, and both over the backend; what they leave open stays."""
    options = ProviderOptions.model_validate(
        {"capabilities": {"old": {"temperature": True}, "*": {"temperature": False}}}
    )
    known = ProviderCapabilities(tools=True, temperature=None)

    assert options.capabilities_of("old", known) == ProviderCapabilities(tools=True, temperature=True)
    assert options.capabilities_of("new", known) == ProviderCapabilities(tools=True, temperature=False)
    assert ProviderOptions().capabilities_of("new", known) == known


def test_provider_cost_counts_each_kind_of_token_once() -> None:
    """Cached tokens are part of the prompt and have prices of their own."""
    book = StaticPrices(
        {"m": ModelPrice(input=Decimal(3), output=Decimal(15), cache_read=Decimal("0.3"), cache_write=Decimal("3.75"))}
    )
    usage = TokenUsage(prompt_tokens=1_000, completion_tokens=100, cache_read_tokens=600, cache_write_tokens=200)

    assert book.price("wire", "m", usage) == (
        200 * Decimal(3) + 600 * Decimal("0.3") + 200 * Decimal("3.75") + 100 * Decimal(15)
    ) / Decimal(1_000_000)


def test_provider_cost_of_an_unknown_model_is_none_never_zero() -> None:
    """What is not known is not free, nor is what was not reported."""
    book = ProviderOptions.model_validate({"prices": {"m": {"input": "1"}}}).price_book()

    assert book.price("wire", "other", TokenUsage(prompt_tokens=1)) is None
    assert book.price("wire", "m", TokenUsage(reported=False)) is None
    assert book.price("wire", "m", TokenUsage(prompt_tokens=0)) == 0


def test_provider_cost_of_a_snapshot_is_that_of_its_model() -> None:
    """Vendors answer with dated names; a price of its own goes first."""
    prices = {"m": ModelPrice(input=Decimal(1)), "m-20260131": ModelPrice(input=Decimal(2))}
    book = StaticPrices(prices)
    million = TokenUsage(prompt_tokens=1_000_000)

    assert book.price("wire", "m-2026-05-01", million) == 1
    assert book.price("wire", "m-20260131", million) == 2
    assert book.price("wire", "m-mini", million) is None


class PublishedUsage:
    """As the package's, as far as it is used."""

    def __init__(self, **tokens: int) -> None:
        self.tokens = tokens


def calc_price(usage: PublishedUsage, model: str, *, provider_id: str) -> SimpleNamespace:
    if (provider_id, model) != ("openai", "known"):
        raise LookupError(model)
    assert usage.tokens == {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 1, "cache_write_tokens": 0}
    return SimpleNamespace(total_price=Decimal("0.5"))


def test_provider_cost_of_models_without_a_configured_price_is_the_published_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the package is installed; never for another server, whose prices nobody publishes."""
    published = ModuleType("genai_prices")
    published.__dict__.update(Usage=PublishedUsage, calc_price=calc_price)
    monkeypatch.setitem(sys.modules, "genai_prices", published)
    usage = TokenUsage(prompt_tokens=5, completion_tokens=2, cache_read_tokens=1)

    book = ProviderOptions.model_validate({"prices": {"mine": {"input": 0}}}).price_book()
    assert [book.price("openai", model, usage) for model in ("known", "unknown", "mine")] == [Decimal("0.5"), None, 0]
    assert book.price("openai", "known", TokenUsage(reported=False)) is None

    elsewhere = ProviderOptions(base_url="http://localhost:1").price_book()
    assert elsewhere.price("openai", "known", usage) is None

    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert ProviderOptions().price_book().price("openai", "known", usage) is None
