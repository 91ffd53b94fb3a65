"""The sections of the settings: every key with its default and bounds, and the policy it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer

from focal_core.context import Limits
from focal_core.conversation.policy import SessionPolicy
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction
from focal_core.redact import redact_setting
from focal_core.values import MAX_DIMENSIONS
from focal_core.vectors import VectorPolicy


class Section(BaseModel):
    """Base of every settings class: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class StoresSettings(Section):
    """``[stores]``: which backend serves which store port; ``default`` serves the ports that name none."""

    default: str | None = None
    config: str | None = None
    memory: str | None = None
    sessions: str | None = None
    audit: str | None = None
    profiles: str | None = None
    runtime: str | None = None


class ProvidersSettings(Section):
    """``[providers]``: which backend serves which provider port, and what stands before it.

    Attributes:
        llm: a backend, or several: a chain in which the next answers when one cannot; in the environment separated by
            commas.
        embedding: a backend.
        rerank: a backend.
        embedding_cache_mb: megabytes of vectors kept in memory; 0 = none.
        trace_content: whether spans hold prompts and answers.
    """

    llm: str | tuple[str, ...] | None = None
    embedding: str | None = None
    rerank: str | None = None
    embedding_cache_mb: int = Field(default=0, ge=0)
    trace_content: bool = False

    @field_validator("llm", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str) and "," in value:
            return [part.strip() for part in value.split(",")]
        return value

    @field_validator("llm")
    @classmethod
    def _check_chain(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, tuple) and (not value or not all(value) or len(set(value)) < len(value)):
            raise ValueError("name at least one backend, and none of them twice")
        return value


class BackendSettings(BaseModel):
    """``[backends.<name>]``: the entry point (``use``, by default the section's own name) and its options."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    use: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options, as the backend will be given them."""
        return dict(self.__pydantic_extra__ or {})

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from self._shown().items()

    @model_serializer(mode="plain", when_used="json")
    def _shown(self) -> dict[str, Any]:
        """Return what may be shown: as JSON, settings end in logs and error reports."""
        shown: dict[str, Any] = redact_setting("", self.options)
        return {"use": self.use, **shown}


class LimitsSettings(Section):
    """``[limits]``: see ``focal_core.context.Limits``."""

    text_chars: int = Field(default=Limits.text_chars, ge=1)
    document_bytes: int = Field(default=Limits.document_bytes, ge=1)
    metadata_bytes: int = Field(default=Limits.metadata_bytes, ge=1)
    list_items: int = Field(default=Limits.list_items, ge=1)
    unpaged_cap: int = Field(default=Limits.unpaged_cap, ge=1)


class SessionSettings(Section):
    """``[session]``: see ``focal_core.conversation.policy.SessionPolicy``, and where sessions in use are kept besides.

    Attributes:
        hot_tier: the backend that keeps copies of the sessions in use, before the backend of ``[stores] sessions``.
        verify_hot: whether a copy is compared with the stored version before it is returned.
    """

    hot_ttl_seconds: int = Field(default=SessionPolicy.hot_ttl_seconds, ge=1)
    idle_ttl_seconds: int = Field(default=SessionPolicy.idle_ttl_seconds, ge=1)
    max_session_age_seconds: int = Field(default=SessionPolicy.max_session_age_seconds, ge=1)
    step_history_limit: int = Field(default=SessionPolicy.step_history_limit, ge=0)
    hot_tier: str | None = None
    verify_hot: bool = True

    def policy(self) -> SessionPolicy:
        """Return what session stores are handed."""
        return SessionPolicy(**self.model_dump(exclude={"hot_tier", "verify_hot"}))


class VectorSettings(Section):
    """``[vector]``: the configured embedding model, and which spaces are accepted.

    Attributes:
        embedding_model: what a search means that names no model.
        strict_spaces: True accepts vectors of ``spaces`` only.
        spaces: ``"model:dims"`` each; in the environment separated by commas.
    """

    embedding_model: str | None = None
    strict_spaces: bool = VectorPolicy.strict_spaces
    spaces: tuple[str, ...] = ()

    @field_validator("spaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("spaces")
    @classmethod
    def _check_spaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for space in value:
            model, _, dims = space.rpartition(":")
            if not model or not dims.isascii() or not dims.isdigit() or not 1 <= int(dims) <= MAX_DIMENSIONS:
                raise ValueError(f'write each space as "model:dims", dims from 1 to {MAX_DIMENSIONS}')
        return value

    def policy(self) -> VectorPolicy:
        """Return what stores are handed."""
        pairs = (space.rpartition(":") for space in self.spaces)
        return VectorPolicy(self.embedding_model, self.strict_spaces, frozenset((one[0], int(one[2])) for one in pairs))


class FreshnessSettings(Section):
    """``[profile.freshness]``: age beyond which a field without a rule of its own is stale (0 = never)."""

    default_freshness_seconds: int = Field(default=0, ge=0)
    stale_field_action: StaleFieldAction = ProfilePolicy.stale_field_action


class ProfileSettings(Section):
    """``[profile]``: how customer profiles are cached, checked, expired and protected.

    Attributes:
        store_provider: another name of ``[stores] profiles``.
        cache_enabled: whether a backend that can (redis) caches profiles; the three TTLs are its entries' lives.
        validation_enabled: fields are checked against their definitions on write.
        validation_strict: fields without a definition are refused.
        auto_expire_enabled: whether an open ``Focal`` marks fields past their time every
            ``expire_check_interval_seconds``; they are never *returned* past it in any case.
        lineage_tracking_enabled: False drops ``source_item_*`` before storing.
        max_derivation_chain_depth: links of one lineage chain at most.
        auto_encrypt_pii: seal fields that hold personal data; needs a cipher.
        pii_encryption_key_id: the key to seal with; needs a cipher.
        freshness: see there.
    """

    store_provider: str | None = None
    cache_enabled: bool = False
    cache_ttl_seconds: int = Field(default=1_800, ge=1)
    field_definitions_ttl_seconds: int = Field(default=3_600, ge=1)
    scenario_requirements_ttl_seconds: int = Field(default=3_600, ge=1)
    validation_enabled: bool = ProfilePolicy.validation_enabled
    validation_strict: bool = ProfilePolicy.validation_strict
    auto_expire_enabled: bool = True
    expire_check_interval_seconds: int = Field(default=300, ge=1)
    lineage_tracking_enabled: bool = ProfilePolicy.lineage_tracking_enabled
    max_derivation_chain_depth: int = Field(default=ProfilePolicy.max_derivation_chain_depth, ge=1, le=100)
    auto_encrypt_pii: bool = False
    pii_encryption_key_id: str | None = None
    freshness: FreshnessSettings = FreshnessSettings()

    def policy(self) -> ProfilePolicy:
        """Return what profile stores are handed."""
        return ProfilePolicy(
            max_derivation_chain_depth=self.max_derivation_chain_depth,
            lineage_tracking_enabled=self.lineage_tracking_enabled,
            default_freshness_seconds=self.freshness.default_freshness_seconds or None,
            stale_field_action=self.freshness.stale_field_action,
            validation_enabled=self.validation_enabled,
            validation_strict=self.validation_strict,
        )

    def cache_ttl_by_kind(self) -> dict[str, int]:
        """Return the lives of cache entries in seconds, by kind of entry."""
        return {
            "profile": self.cache_ttl_seconds,
            "field_definitions": self.field_definitions_ttl_seconds,
            "scenario_requirements": self.scenario_requirements_ttl_seconds,
        }


class RuntimeSettings(Section):
    """``[runtime]``: ``archive`` names the backend whose permanent archive gets a copy of what the runtime stores."""

    archive: str | None = None
