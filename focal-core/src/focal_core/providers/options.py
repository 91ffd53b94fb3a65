"""The settings that backends of model providers share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from focal_core.errors import MissingCredentials
from focal_core.providers.messages import CallOptions, Seconds
from focal_core.providers.models import ProviderCapabilities
from focal_core.providers.prices import ModelPrice, PriceBook, StaticPrices, published_prices
from focal_core.providers.retry import ATTEMPT_TIMEOUT, IDLE_TIMEOUT, MAX_ATTEMPTS, MAX_RETRY_AFTER
from focal_core.settings_sources import ARGUMENT, DEFAULT_FILE, variable_name
from focal_core.values import Identifier, Identifier100

_CALL_LIMITS = tuple(name for name in CallOptions.model_fields if name != "tenant_id")


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


class ProviderOptions(BaseModel):
    """Settings of a backend that talks to a model provider over HTTP; vendors derive from it and add theirs.

    Attributes:
        model: asked where a request names none; needed when the backend serves port ``llm``.
        api_key: the key itself; a blank one counts as none.
        api_key_env: name of the environment variable that holds it, in place of ``api_key``.
        base_url: where the API is; the vendor's own when None.
        headers: sent with every request; their values are secrets.
        max_tokens: of an answer, where a request says nothing.
        temperature: where a request says nothing; None = the vendor's.
        deadline: seconds of a whole call; this and the next six are the defaults of ``CallOptions``.
        attempt_timeout: seconds of one attempt; of a stream, until its first event.
        first_event_timeout: seconds until a stream's first event, where that differs.
        idle_timeout: seconds between two events of a stream.
        max_attempts: attempts of a call at most.
        max_retry_after: seconds a provider may ask to wait.
        connect_timeout: seconds until a connection is there.
        max_connections: connections of the pool at most.
        http: the transport; ``aiohttp`` needs the extra of that name.
        max_concurrency: calls under way at a time; None = no limit.
        requests_per_minute: requests begun in a minute; None = no limit.
        tokens_per_minute: tokens spent in a minute; None = no limit.
        capabilities: model, or ``"*"`` for any other -> what is known about it, over what the backend knows.
        prices: model -> USD for a million tokens.
        keep_raw: whether responses keep the vendor's object in ``raw``.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    required_by_port: ClassVar[Mapping[str, str]] = {"llm": "model"}
    """Port -> the option that must be set when a backend is named for it."""

    model: Identifier100 | None = None
    api_key: Annotated[SecretStr | None, BeforeValidator(_blank_is_none)] = None
    api_key_env: Annotated[Identifier | None, BeforeValidator(_blank_is_none)] = None
    base_url: Annotated[str | None, Field(pattern=r"^https?://[^\s]+$"), BeforeValidator(_blank_is_none)] = None
    headers: dict[str, SecretStr] = {}
    max_tokens: int = Field(default=4096, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    deadline: Seconds | None = None
    attempt_timeout: Seconds = ATTEMPT_TIMEOUT
    first_event_timeout: Seconds | None = None
    idle_timeout: Seconds = IDLE_TIMEOUT
    connect_timeout: Seconds = 5.0
    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1)
    max_retry_after: float = Field(default=MAX_RETRY_AFTER, ge=0.0)
    max_connections: int = Field(default=100, ge=1)
    http: Literal["httpx2", "aiohttp"] = "httpx2"
    max_concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    capabilities: dict[str, ProviderCapabilities] = {}
    prices: dict[str, ModelPrice] = {}
    keep_raw: bool = False

    _backend: str | None = PrivateAttr(default=None)
    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _one_key(self, info: ValidationInfo) -> Self:
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("api_key and api_key_env are both set; keep one of them")
        if isinstance(info.context, Mapping):
            self._backend, self._sources = info.context.get("backend"), info.context.get("sources", {})
        return self

    def key(self, provider: str, variable: str, environ: Mapping[str, str] | None = None) -> SecretStr:
        """Return the key to call the provider with.

        Args:
            provider: wire family, for the error.
            variable: the vendor's own variable, which settings put into ``api_key`` when nothing else sets it.
            environ: where ``api_key_env`` is looked up; the process's environment when None.

        Raises:
            MissingCredentials: there is none; names the setting and the variable.
        """
        environ = os.environ if environ is None else environ
        value = environ.get(self.api_key_env, "") if self.api_key_env else _revealed(self.api_key)
        if value.strip():
            return SecretStr(value.strip())
        section = ("backends", self._backend or provider)
        reason = f"the variable {self.api_key_env} is not set" if self.api_key_env else "no key is configured"
        names = [self.api_key_env] if self.api_key_env else [variable, variable_name((*section, "api_key"))]
        raise MissingCredentials(
            f"{'.'.join(section)}.{'api_key_env' if self.api_key_env else 'api_key'}: {reason}",
            hint=f"set the environment variable {' or '.join(names)}, or {'.'.join(section)}.api_key in {DEFAULT_FILE}",
            provider=provider,
            model=self.model,
        )

    def key_place(self, provider: str) -> str:
        """Return where the key comes from, for the error when it is refused: a variable, or a setting and its file."""
        if self.api_key_env:
            return self.api_key_env
        setting = f"backends.{self._backend or provider}.api_key"
        source = self._sources.get("api_key", ARGUMENT)
        if source == ARGUMENT:
            return setting
        return source if source.isidentifier() and source.isupper() else f"{setting} in {source}"

    def limits(self, options: CallOptions) -> CallOptions:
        """Return the limits of a call, with these settings for what it leaves open."""
        unset = {name: getattr(self, name) for name in _CALL_LIMITS if getattr(options, name) is None}
        return options.model_copy(update=unset)

    def capabilities_of(self, model: str, known: ProviderCapabilities) -> ProviderCapabilities:
        """Return what a model can do: what is configured for it, over what is known anyway."""
        configured = self.capabilities.get(model) or self.capabilities.get("*")
        if configured is None:
            return known
        return known.model_copy(update=configured.model_dump(exclude_none=True))

    def price_book(self) -> PriceBook:
        """Return the configured prices, and for other models the published ones where they are installed.

        With a ``base_url`` the configured ones alone: who knows what another server asks for a model of that name.
        May import a package, so call it where that does not hold up an event loop.
        """
        return StaticPrices(self.prices, None if self.base_url else published_prices())

    def header_values(self) -> dict[str, str]:
        """Return the configured headers, unhidden."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
