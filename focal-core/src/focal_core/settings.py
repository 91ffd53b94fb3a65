"""Settings: focal.toml < environment < arguments, each value with its source; every key has an effect or is refused.

The sections are in ``settings_sections``; how they are read and merged is in ``settings_sources``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)

from focal_core.clock import Clock, SystemClock
from focal_core.context import BackendContext, Isolation, Limits
from focal_core.errors import SettingsError
from focal_core.plugins.backend import PROVIDER_PORTS, STORE_PORTS
from focal_core.redact import redact_setting
from focal_core.settings_sections import (
    BackendSettings,
    LimitsSettings,
    ProfileSettings,
    ProvidersSettings,
    RuntimeSettings,
    Section,
    SessionSettings,
    StoresSettings,
    VectorSettings,
)
from focal_core.settings_sources import (
    ARGUMENT,
    DEFAULT_FILE,
    KeyPath,
    Layers,
    explain,
    from_environment,
    interpolated,
    origin_of,
    read_file,
    variable_name,
)

SHARED_VARIABLES: Mapping[str, Mapping[str, str]] = {
    "postgres": {"url": "DATABASE_URL"},
    "redis": {"url": "REDIS_URL"},
    "anthropic": {"api_key": "ANTHROPIC_API_KEY", "base_url": "ANTHROPIC_BASE_URL"},
    "openai": {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"},
}
"""Entry point -> option -> the variable known outside focal that sets it when nothing else does."""


@dataclass(frozen=True)
class ShownSetting:
    """One effective setting as ``focal config show`` prints it.

    Attributes:
        key: dotted key.
        value: the value; secrets are hidden.
        source: a file, an environment variable, ``argument`` or ``default``.
    """

    key: str
    value: Any
    source: str


class FocalSettings(Section):
    """Everything that is configured. ``load`` reads it; constructing it directly uses only what is given.

    Attributes:
        isolation: what an omitted tenant means.
        stores: which backend serves which store port.
        providers: which backend serves which provider port.
        backends: options of the named backends.
        limits: sizes beyond which data is refused.
        session: how long sessions live, and the hot tier before their backend.
        vector: embedding model and spaces.
        profile: customer profiles.
        runtime: the permanent archive behind the runtime port.
    """

    isolation: Isolation = Isolation.STRICT
    stores: StoresSettings = StoresSettings()
    providers: ProvidersSettings = ProvidersSettings()
    backends: dict[str, BackendSettings] = {}
    limits: LimitsSettings = LimitsSettings()
    session: SessionSettings = SessionSettings()
    vector: VectorSettings = VectorSettings()
    profile: ProfileSettings = ProfileSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    _origins: dict[KeyPath, str] = PrivateAttr(default_factory=dict)
    _shared: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        profile = self.profile
        if profile.store_provider and self.stores.profiles and profile.store_provider != self.stores.profiles:
            raise SettingsError(
                f"profile.store_provider is {profile.store_provider!r}, stores.profiles is {self.stores.profiles!r}",
                hint="they are one setting: keep one of them",
            )
        if self.runtime.archive and self.backend_for("runtime") is None:
            raise SettingsError("runtime.archive is set, but port 'runtime' has no backend", hint=how_to_set("runtime"))
        hot, durable = self.session.hot_tier, self.backend_for("sessions")
        if hot and durable is None:
            raise SettingsError(
                "session.hot_tier is set, but port 'sessions' has no backend", hint=how_to_set("sessions")
            )
        if hot and hot == durable:
            raise SettingsError(
                f"session.hot_tier and the sessions port name one backend, {hot!r}",
                hint="name a durable backend in stores.sessions, or remove session.hot_tier",
            )
        if not hot and "verify_hot" in self.session.model_fields_set:
            raise SettingsError(
                "session.verify_hot is set, but session.hot_tier is not",
                hint="set session.hot_tier to the backend that keeps the copies, or remove session.verify_hot",
            )
        for key in ("auto_encrypt_pii", "pii_encryption_key_id"):
            if getattr(profile, key):
                raise SettingsError(
                    f"profile.{key} is set, but no cipher is installed, so nothing could be sealed or opened",
                    hint=f"remove profile.{key}",
                    code="no_cipher",
                )
        return self

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | Mapping[str, Any] | FocalSettings | None = None,
        /,
        *,
        environ: Mapping[str, str] | None = None,
        **overrides: Any,
    ) -> FocalSettings:
        """Return the effective settings: arguments > environment > file > defaults.

        Args:
            source: a file; a mapping, which counts as arguments; settings, which are final but for ``overrides``; or
                None: ./focal.toml where there is one.
            environ: the process's environment when None.
            overrides: sections and keys, such as ``isolation="trusting"`` or ``stores={"default": "main"}``.

        Raises:
            SettingsError: a file is missing or malformed; a key is unknown; a value is wrong; values contradict.
        """
        environ = os.environ if environ is None else environ
        layers = Layers()
        if isinstance(source, FocalSettings):
            layers.lay(source.model_dump(exclude_unset=True), ARGUMENT)
            layers.origins.update(source._origins)
            shared = source._shared
        else:
            if not isinstance(source, Mapping) and (source is not None or Path(DEFAULT_FILE).exists()):
                path = DEFAULT_FILE if source is None else source
                layers.lay(interpolated(read_file(path), environ), os.fspath(path))
            named = layers.values.get("backends")
            for key, value, variable in from_environment(environ, cls, named if isinstance(named, dict) else ()):
                layers.lay_one(key, value, variable)
            if isinstance(source, Mapping):
                layers.lay(interpolated(source, environ), ARGUMENT)
            variables = (name for shared in SHARED_VARIABLES.values() for name in shared.values())
            shared = {name: SecretStr(environ[name]) for name in variables if environ.get(name)}
        layers.lay(overrides, ARGUMENT)
        try:
            settings = cls.model_validate(layers.values)
        except ValidationError as error:
            raise explain(error, cls, layers.origins) from None
        settings._origins, settings._shared = layers.origins, shared
        return settings

    def backends_for(self, port: str) -> tuple[str, ...]:
        """Return the configured names of the backends that serve a port: none, one, or a chain of language models."""
        if port not in PROVIDER_PORTS:
            name = self.named_backend(port) or self.stores.default
        elif isinstance(name := getattr(self.providers, port), tuple):
            return name
        return (name,) if name else ()

    def backend_for(self, port: str) -> str | None:
        """Return the configured backend name that serves a port, the first of a chain; None when none is configured."""
        return next(iter(self.backends_for(port)), None)

    def named_backend(self, port: str) -> str | None:
        """Return the backend name given for a port itself, not through ``stores.default``."""
        if port in PROVIDER_PORTS:
            return self.backend_for(port)
        alias = self.profile.store_provider if port == "profiles" else None
        return getattr(self.stores, port) or alias

    def backend_use(self, name: str) -> str:
        """Return the entry point a configured backend name stands for."""
        section = self.backends.get(name)
        return (section.use if section else None) or name

    def backend_options(self, name: str, model: type[BaseModel]) -> BaseModel:
        """Return the validated options of a configured backend.

        A variable known outside focal (``DATABASE_URL`` and its like) fills an option the model has and nothing sets.
        Validators of the model find the name as ``backend`` and where each option came from as ``sources`` in their
        context.

        Raises:
            SettingsError: a key is unknown, missing or wrong.
        """
        given = self._given_options(name, model)
        context = {"backend": name, "sources": {key: source for key, (_, source) in given.items()}}
        try:
            return model.model_validate({key: value for key, (value, _) in given.items()}, context=context)
        except ValidationError as error:
            raise explain(error, model, self._origins, ("backends", name)) from None

    def _given_options(self, name: str, model: type[BaseModel] | None) -> dict[str, tuple[Any, str]]:
        """Return (value, source) of each option of a configured backend that something sets."""
        section = self.backends.get(name)
        given = {
            key: (value, origin_of(("backends", name, key), self._origins) or ARGUMENT)
            for key, value in (section.options if section else {}).items()
        }
        for option, variable in SHARED_VARIABLES.get(self.backend_use(name).partition("@")[0], {}).items():
            free = option not in given and f"{option}_env" not in given
            if model is not None and option in model.model_fields and free and variable in self._shared:
                given[option] = (self._shared[variable].get_secret_value(), variable)
        return given

    def context(self, clock: Clock | None = None) -> BackendContext:
        """Return what every backend is handed, with another clock than the machine's if one is given."""
        return BackendContext(
            clock=clock or SystemClock(),
            isolation=self.isolation,
            limits=Limits(**dict(self.limits)),
            profile_policy=self.profile.policy(),
            session_policy=self.session.policy(),
            vector_policy=self.vector.policy(),
        )

    def shown(self, options: Mapping[str, type[BaseModel]]) -> list[ShownSetting]:
        """Return every effective setting with its source, secrets hidden.

        Args:
            options: the options model of each configured backend name that could be loaded.
        """
        rows = list(self._shown_section((), self))
        for name in sorted({*self.backends, *options}):
            use = self.backends[name].use if name in self.backends else None
            source = "default" if use is None else self._origins.get(("backends", name, "use"), ARGUMENT)
            rows.append(ShownSetting(f"backends.{name}.use", self.backend_use(name), source))
            model = options.get(name)
            given = self._given_options(name, model)
            for key, field in (model.model_fields if model else {}).items():
                if not field.is_required():
                    given.setdefault(key, (field.get_default(call_default_factory=True), "default"))
            for key, (value, source) in given.items():
                rows.append(ShownSetting(f"backends.{name}.{key}", redact_setting(key, value), source))
        return rows

    def _shown_section(self, path: KeyPath, section: BaseModel) -> Iterator[ShownSetting]:
        for name, value in section:
            here = (*path, name)
            if isinstance(value, BaseModel):
                yield from self._shown_section(here, value)
            elif name != "backends":
                given = ARGUMENT if name in section.model_fields_set else "default"
                origin = origin_of(here, self._origins) or given
                shown = list(value) if isinstance(value, tuple) else value
                yield ShownSetting(".".join(here), redact_setting(name, shown), origin)


def how_to_set(port: str) -> str:
    """Return how a port is given a backend, for hints."""
    if port in STORE_PORTS:
        return f"set stores.{port} (or stores.default) in {DEFAULT_FILE}, or {variable_name(('stores', port))}"
    return f"set providers.{port} in {DEFAULT_FILE}, or {variable_name(('providers', port))}"
