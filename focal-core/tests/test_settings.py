"""Settings: precedence, sources, and one clear error for everything that can be wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from focal_core.context import BackendContext, Isolation, Limits
from focal_core.conversation.policy import SessionPolicy
from focal_core.errors import SettingsError
from focal_core.inmemory.backend import InMemoryOptions
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction
from focal_core.redact import redact, redact_setting
from focal_core.settings import FocalSettings
from focal_core.settings_sections import ProfileSettings


class UrlOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str
    pool_size: int = 10
    api_key: SecretStr | None = None


def load(source: Any = None, environ: dict[str, str] | None = None, **overrides: Any) -> FocalSettings:
    return FocalSettings.load({} if source is None else source, environ=environ or {}, **overrides)


def refused(source: Any = None, environ: dict[str, str] | None = None, **overrides: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(source, environ, **overrides)
    return caught.value


def shown(settings: FocalSettings, **options: type[BaseModel]) -> dict[str, tuple[Any, str]]:
    return {row.key: (row.value, row.source) for row in settings.shown(options)}


def write(folder: Path, text: str, name: str = "focal.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_those_of_the_policies() -> None:
    """A setting nobody made changes nothing."""
    context = load().context()

    assert context.limits == Limits()
    assert context.profile_policy == ProfilePolicy()
    assert context.session_policy == BackendContext().session_policy
    assert context.vector_policy == BackendContext().vector_policy
    assert context.isolation is Isolation.STRICT


def test_arguments_win_over_the_environment_over_the_file_over_defaults(in_folder: Path) -> None:
    """Four sources, each seen winning and losing, each remembered."""
    write(in_folder, '[limits]\ntext_chars = 11\nlist_items = 12\nunpaged_cap = 13\n[stores]\ndefault = "a"\n')
    environ = {"FOCAL_LIMITS__LIST_ITEMS": "22", "FOCAL_LIMITS__UNPAGED_CAP": "23"}

    settings = FocalSettings.load(environ=environ, limits={"unpaged_cap": 33})

    rows = shown(settings)
    assert rows["limits.text_chars"] == (11, "focal.toml")
    assert rows["limits.list_items"] == (22, "FOCAL_LIMITS__LIST_ITEMS")
    assert rows["limits.unpaged_cap"] == (33, "argument")
    assert rows["limits.metadata_bytes"] == (262_144, "default")
    assert rows["stores.default"] == ("a", "focal.toml")


def test_a_mapping_counts_as_arguments(in_folder: Path) -> None:
    """What stands in code wins over the environment, and ./focal.toml is not read beside it."""
    write(in_folder, "[limits]\ntext_chars = 11\n")

    settings = load({"limits": {"list_items": 5}}, {"FOCAL_LIMITS__LIST_ITEMS": "6", "FOCAL_LIMITS__UNPAGED_CAP": "7"})

    assert (settings.limits.list_items, settings.limits.unpaged_cap) == (5, 7)
    assert settings.limits.text_chars == Limits.text_chars


def test_settings_are_final_but_for_overrides() -> None:
    """Settings given as such are not mixed with the environment; their sources are kept."""
    first = load(environ={"FOCAL_LIMITS__LIST_ITEMS": "6"})

    second = load(first, {"FOCAL_LIMITS__UNPAGED_CAP": "7"}, limits={"text_chars": 8})

    assert shown(second)["limits.list_items"] == (6, "FOCAL_LIMITS__LIST_ITEMS")
    assert second.limits.unpaged_cap == Limits.unpaged_cap
    assert second.limits.text_chars == 8


def test_an_empty_override_takes_nothing_away(in_folder: Path) -> None:
    """A section without keys says nothing about the keys below it."""
    write(in_folder, "[limits]\ntext_chars = 11\n")

    assert FocalSettings.load(environ={}, limits={}).limits.text_chars == 11


def test_without_a_file_there_are_defaults(in_folder: Path) -> None:
    """./focal.toml is optional; a file that is named is not."""
    assert FocalSettings.load(environ={}) == FocalSettings()


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (None, "there is no settings file conf.toml", "focal init conf.toml"),
        (b"isolation = \n", "conf.toml is not valid TOML", "correct that line"),
        (b"isolation = '\xff'\n", "cannot read conf.toml: it is not UTF-8", "name a readable TOML file"),
    ],
)
def test_an_unreadable_file_is_named(in_folder: Path, content: bytes | None, message: str, hint: str) -> None:
    """Missing, malformed, not UTF-8."""
    if content is not None:
        Path("conf.toml").write_bytes(content)

    error = refused("conf.toml")

    assert str(error).startswith(message)
    assert error.hint == hint


def test_a_folder_is_no_settings_file(in_folder: Path) -> None:
    """The reason is the system's own."""
    assert "cannot read ." in str(refused("."))


@pytest.mark.parametrize(
    ("source", "key", "hint"),
    [
        ({"store": {"default": "a"}}, "'store'", "did you mean 'stores'?"),
        ({"stores": {"defualt": "a"}}, "'stores.defualt'", "did you mean 'default'?"),
        (
            {"profile": {"freshness": {"default_freshnes_seconds": 1}}},
            "'profile.freshness.default_freshnes_seconds'",
            "did you mean 'default_freshness_seconds'?",
        ),
        (
            {"providers": {"zzzz": 1}},
            "'providers.zzzz'",
            "known keys are llm, embedding, rerank, embedding_cache_mb, trace_content",
        ),
    ],
)
def test_an_unknown_key_is_an_error_with_the_nearest_known_one(source: Any, key: str, hint: str) -> None:
    """A misspelt key never passes silently."""
    error = refused(source)

    assert str(error) == f"unknown key {key} (argument)"
    assert error.hint == hint


def test_an_unknown_key_names_its_file_or_variable(in_folder: Path) -> None:
    """The reader must not search for it; several are told at once."""
    path = write(in_folder, "[stores]\ndefualt = 'a'\n", "conf.toml")

    error = refused("conf.toml", {"FOCAL_LIMITS__TEXT_CHAR": "1", "FOCAL_ISOLATOIN": "trusting"})

    assert "unknown key 'stores.defualt' (conf.toml)" in str(error)
    assert "unknown key 'limits.text_char' (FOCAL_LIMITS__TEXT_CHAR)" in str(error)
    assert "unknown key 'isolatoin' (FOCAL_ISOLATOIN)" in str(error)
    assert "did you mean 'isolation'?" in (error.hint or "")
    assert path.exists()


def test_variables_of_others_are_left_alone() -> None:
    """FOCAL_REQUIRE and its like are no settings; an empty variable is none either."""
    settings = load(environ={"FOCAL_REQUIRE": "postgres", "FOCAL_PII_KEYS": "x", "FOCAL_ISOLATION": "", "PATH": "x"})

    assert settings == FocalSettings()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"isolation": "strcit"}, "isolation: Input should be 'strict' or 'trusting' (argument)"),
        ({"limits": {"text_chars": 0}}, "limits.text_chars: Input should be greater than or equal to 1 (argument)"),
        ({"session": 3}, "session: must be a table of keys (argument)"),
        ({"backends": {"main": 3}}, "backends.main: must be a table of keys (argument)"),
        (
            {"vector": {"spaces": ["model"]}},
            'vector.spaces: write each space as "model:dims", dims from 1 to 16000 (argument)',
        ),
        ({"vector": {"spaces": [3]}}, "vector.spaces.0: Input should be a valid string (argument)"),
        ({"profile": {"max_derivation_chain_depth": 101}}, "profile.max_derivation_chain_depth: Input should be less"),
        ({"profile": {"cache_ttl_seconds": 0}}, "profile.cache_ttl_seconds: Input should be greater"),
        (
            {"profile": {"expire_check_interval_seconds": 0}},
            "profile.expire_check_interval_seconds: Input should be gr",
        ),
        ({"profile": {"freshness": {"stale_field_action": "shout"}}}, "profile.freshness.stale_field_action: Input sh"),
    ],
)
def test_a_wrong_value_names_key_reason_and_source(source: Any, message: str) -> None:
    """The hint names the environment variable."""
    error = refused(source)

    assert str(error).startswith(message)
    assert "FOCAL_" in (error.hint or "")


def test_texts_take_variables_from_the_environment() -> None:
    """``${NAME}`` is replaced, ``$${NAME}`` is not, lists and nested tables included."""
    source = {
        "backends": {"main": {"url": "redis://:${PW}@h", "raw": "$${PW}", "many": ["${PW}"], "n": {"a": "${PW}"}}}
    }

    options = load(source, {"PW": "s3"}).backends["main"].options

    assert options == {"url": "redis://:s3@h", "raw": "${PW}", "many": ["s3"], "n": {"a": "s3"}}


def test_an_unset_variable_in_a_text_is_an_error(in_folder: Path) -> None:
    """It is never replaced by nothing."""
    write(in_folder, '[profile]\npii_encryption_key_id = "${NOT_SET}"\n')

    with pytest.raises(SettingsError, match=r"profile\.pii_encryption_key_id refers to .* NOT_SET") as caught:
        FocalSettings.load(environ={})

    assert "set NOT_SET" in (caught.value.hint or "")


def test_variables_reach_backends_whose_names_a_variable_cannot_spell(in_folder: Path) -> None:
    """Letter case and hyphens of a section name are found again."""
    write(in_folder, '[backends.My-Db]\nurl = "a"\n')

    settings = FocalSettings.load(environ={"FOCAL_BACKENDS__MY_DB__URL": "b", "FOCAL_BACKENDS__NEW__POOL_SIZE": "3"})

    assert settings.backends["My-Db"].options == {"url": "b"}
    assert settings.backends["new"].options == {"pool_size": "3"}


def test_shared_variables_come_last_and_only_where_the_option_exists() -> None:
    """DATABASE_URL serves a postgres backend that names no url; nobody else sees it."""
    environ = {"DATABASE_URL": "postgresql://shared"}
    settings = load(
        {"backends": {"main": {"use": "postgres@acme"}, "own": {"use": "postgres", "url": "mine"}}}, environ
    )

    assert settings.backend_options("main", UrlOptions).url == "postgresql://shared"  # type: ignore[attr-defined]
    assert settings.backend_options("postgres", UrlOptions).url == "postgresql://shared"  # type: ignore[attr-defined]
    assert settings.backend_options("own", UrlOptions).url == "mine"  # type: ignore[attr-defined]
    assert settings.backend_options("postgres", InMemoryOptions) == InMemoryOptions()
    assert shown(settings, main=UrlOptions)["backends.main.url"] == ("postgresql://shared", "DATABASE_URL")
    with pytest.raises(SettingsError, match=r"backends\.redis\.url is not set") as caught:
        settings.backend_options("redis", UrlOptions)
    assert caught.value.hint == "set backends.redis.url in focal.toml, or FOCAL_BACKENDS__REDIS__URL"


def test_a_shared_key_yields_to_a_variable_of_the_users_choice() -> None:
    """``api_key_env`` names where the key is; the vendor's own variable must not contradict it."""

    class Keyed(BaseModel):
        api_key: SecretStr | None = None
        api_key_env: str | None = None

    settings = load({"backends": {"c": {"use": "openai", "api_key_env": "MINE"}}}, {"OPENAI_API_KEY": "sk"})

    assert settings.backend_options("c", Keyed).api_key is None  # type: ignore[attr-defined]
    assert settings.backend_options("openai", Keyed).api_key == SecretStr("sk")  # type: ignore[attr-defined]


def test_wrong_options_of_a_backend_name_the_key_and_its_source() -> None:
    """Options are judged by the backend's own model, and reported like any setting."""
    settings = load({"backends": {"m": {"url": "a", "pool_sise": 3}}}, {"FOCAL_BACKENDS__M__POOL_SIZE": "many"})

    with pytest.raises(SettingsError) as caught:
        settings.backend_options("m", UrlOptions)

    assert "unknown key 'backends.m.pool_sise' (argument)" in str(caught.value)
    assert "backends.m.pool_size: Input should be a valid integer" in str(caught.value)
    assert "(FOCAL_BACKENDS__M__POOL_SIZE)" in str(caught.value)
    assert "did you mean 'pool_size'?" in (caught.value.hint or "")


def test_ports_find_their_backend() -> None:
    """A port's own key first, then the default; providers have no default."""
    settings = load({"stores": {"default": "main", "sessions": "hot"}, "providers": {"llm": "claude"}})

    assert settings.backend_for("sessions") == "hot"
    assert settings.backend_for("config") == "main"
    assert settings.named_backend("config") is None
    assert settings.backend_for("llm") == "claude"
    assert settings.backend_for("embedding") is None


def test_store_provider_is_another_name_of_the_profile_store() -> None:
    """[profile] store_provider: one meaning; two different answers are refused."""
    assert load({"profile": {"store_provider": "pg"}}).backend_for("profiles") == "pg"
    assert load({"profile": {"store_provider": "pg"}, "stores": {"profiles": "pg"}}).backend_for("profiles") == "pg"
    error = refused({"profile": {"store_provider": "pg"}, "stores": {"profiles": "main"}})
    assert str(error) == "profile.store_provider is 'pg', stores.profiles is 'main'"
    assert error.hint == "they are one setting: keep one of them"


def test_an_archive_without_a_runtime_store_is_refused() -> None:
    """It would keep a copy of nothing."""
    error = refused({"runtime": {"archive": "main"}})

    assert str(error) == "runtime.archive is set, but port 'runtime' has no backend"
    assert "FOCAL_STORES__RUNTIME" in (error.hint or "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"session": {"hot_tier": "redis"}}, "session.hot_tier is set, but port 'sessions' has no backend"),
        (
            {"stores": {"sessions": "redis"}, "session": {"hot_tier": "redis"}},
            "session.hot_tier and the sessions port name one backend, 'redis'",
        ),
        (
            {"stores": {"default": "redis"}, "session": {"hot_tier": "redis"}},
            "session.hot_tier and the sessions port name one backend, 'redis'",
        ),
        (
            {"stores": {"default": "postgres"}, "session": {"verify_hot": False}},
            "session.verify_hot is set, but session.hot_tier is not",
        ),
    ],
)
def test_a_hot_tier_stands_before_another_backend(settings: Any, message: str) -> None:
    """It needs sessions to keep copies of, kept elsewhere; and verify_hot needs a hot tier."""
    error = refused(settings)

    assert str(error) == message
    assert error.hint


def test_a_hot_tier_changes_no_policy() -> None:
    """[session] holds what stores are handed, and where they stand; each goes its own way."""
    settings = load(
        {"stores": {"sessions": "pg"}, "session": {"hot_tier": "redis", "verify_hot": False, "hot_ttl_seconds": 60}}
    )

    assert settings.context().session_policy == SessionPolicy(hot_ttl_seconds=60)
    assert shown(settings)["session.hot_tier"] == ("redis", "argument")
    assert shown(settings)["session.verify_hot"] == (False, "argument")


@pytest.mark.parametrize(("key", "value"), [("auto_encrypt_pii", True), ("pii_encryption_key_id", "kid")])
def test_sealing_without_a_cipher_is_refused(key: str, value: Any) -> None:
    """A promise of encryption that nothing keeps is an error, not a no-op."""
    error = refused({"profile": {key: value}})

    assert str(error) == f"profile.{key} is set, but no cipher is installed, so nothing could be sealed or opened"
    assert error.hint == f"remove profile.{key}"
    assert error.code == "no_cipher"


def test_each_profile_key_of_the_policy_has_an_effect() -> None:
    """What is set arrives in the policy every profile store is handed."""
    changed = {
        "validation_enabled": False,
        "validation_strict": True,
        "lineage_tracking_enabled": False,
        "max_derivation_chain_depth": 3,
        "freshness": {"default_freshness_seconds": 60, "stale_field_action": "BLOCK"},
    }

    assert load({"profile": changed}).context().profile_policy == ProfilePolicy(
        max_derivation_chain_depth=3,
        lineage_tracking_enabled=False,
        default_freshness_seconds=60,
        stale_field_action=StaleFieldAction.BLOCK,
        validation_enabled=False,
        validation_strict=True,
    )


def test_freshness_zero_means_never() -> None:
    """0 and absent are one."""
    policy = load({"profile": {"freshness": {"default_freshness_seconds": 0}}}).profile.policy()

    assert policy.default_freshness_seconds is None


def test_the_three_cache_lives_are_told_by_kind() -> None:
    """Each TTL key reaches the cache."""
    keys = {"cache_ttl_seconds": 1, "field_definitions_ttl_seconds": 2, "scenario_requirements_ttl_seconds": 3}

    assert list(ProfileSettings(**keys).cache_ttl_by_kind().values()) == [1, 2, 3]


def test_limits_session_and_vector_reach_the_context() -> None:
    """Sections become what stores are handed."""
    context = load(
        {
            "isolation": "TRUSTING",
            "limits": {"text_chars": 5},
            "session": {"idle_ttl_seconds": 6, "step_history_limit": 0},
            "vector": {"embedding_model": "m", "strict_spaces": True, "spaces": ["a:b:3"]},
        },
        {},
    ).context()

    assert context.isolation is Isolation.TRUSTING
    assert context.limits.text_chars == 5
    assert (context.session_policy.idle_ttl_seconds, context.session_policy.step_history_limit) == (6, 0)
    assert context.vector_policy.spaces == {("a:b", 3)}
    assert (context.vector_policy.embedding_model, context.vector_policy.strict_spaces) == ("m", True)


def test_spaces_in_the_environment_are_separated_by_commas() -> None:
    """A list fits into one variable."""
    assert load(environ={"FOCAL_VECTOR__SPACES": "a:3, b:4"}).vector.spaces == ("a:3", "b:4")


SECRETS = {
    "use": "postgres",
    "url": "postgresql://ann:CANARY@db/focal?sslpassword=CANARY",
    "password": "CANARY",
    "api_key": "CANARY",
    "headers": {"x-anything": "CANARY"},
    "nested": {"auth_token": "CANARY", "list": ["redis://:CANARY@h"]},
    "wrapped": SecretStr("CANARY"),
}


def test_secrets_are_in_no_representation() -> None:
    """Neither shown settings, nor repr, nor JSON, nor an error that mentions the section."""
    settings = load({"backends": {"main": SECRETS}}, {"DATABASE_URL": "postgresql://u:CANARY@h"})
    with pytest.raises(SettingsError) as caught:
        settings.backend_options("main", UrlOptions)

    for text in (
        repr(settings),
        str(settings),
        repr(shown(settings, main=UrlOptions)),
        repr(caught.value),
        str(vars(settings)),
        settings.model_dump_json(),
        str(settings.model_dump(mode="json")),
    ):
        assert "CANARY" not in text
    assert "ann:***@db/focal" in repr(settings)
    assert settings.model_dump()["backends"]["main"]["api_key"] == "CANARY"
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://ann:pw@db:5432/focal", "postgresql://ann:***@db:5432/focal"),
        ("redis://:pw@db/0", "redis://:***@db/0"),
        ("postgresql://ann:p/w@x?y@db/focal", "postgresql://ann:***@db/focal"),
        ("postgresql://u:pw@h1,h2/db?sslkey=abc&x=1", "postgresql://u:***@h1,h2/db?sslkey=***&x=1"),
        ("host=db user=ann password=pw dbname=x", "host=db user=ann password=*** dbname=x"),
        ("postgresql://db/focal", "postgresql://db/focal"),
        ("embedded://.focal/postgres", "embedded://.focal/postgres"),
        ("https://api.example/v1?key=abc", "https://api.example/v1?key=***"),
        ("just a text", "just a text"),
    ],
)
def test_redact_hides_passwords_and_keeps_the_rest(url: str, safe: str) -> None:
    """User, host and path stay; a password may hold any character."""
    assert redact(url) == safe


def test_numbers_under_a_secret_name_are_shown() -> None:
    """max_tokens = 4096 is no secret."""
    assert redact_setting("max_tokens", 4096) == 4096
    assert redact_setting("token", "") == ""


def test_a_value_in_the_reason_of_a_refusal_is_redacted() -> None:
    """A backend's own validator may quote what it refuses."""

    class Quoting(BaseModel):
        url: str

        @field_validator("url")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise ValueError(f"cannot use {value}")

    settings = load({"backends": {"m": {"url": "redis://u:CANARY@h"}}})

    with pytest.raises(SettingsError, match=r"backends\.m\.url: cannot use redis://u:\*\*\*@h") as caught:
        settings.backend_options("m", Quoting)
    assert "CANARY" not in str(caught.value)
