"""Profile stores that misjudge what a profile lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import (
    CustomerProfile,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
    StaleFieldAction,
    ValidationMode,
)
from focal_testkit.mutants import mutant

Found = list[ScenarioFieldRequirement]


@mutant("PROFILES-210", "PROFILES-218")
class ReadsTheProfileAnew(InMemoryProfileStore):
    """What is stored is judged, not what is given."""

    async def get_missing_fields(self, tenant_id: UUID, profile: CustomerProfile, *args: Any, **options: Any) -> Found:
        stored = await self.get_by_id(tenant_id, profile.id)
        return await super().get_missing_fields(
            tenant_id, stored or CustomerProfile(tenant_id=tenant_id), *args, **options
        )


@mutant("PROFILES-211")
class ForgetsTheStep(InMemoryProfileStore):
    """The step is ignored."""

    async def get_missing_fields(self, *args: Any, step_id: UUID | None = None, **options: Any) -> Found:
        return await super().get_missing_fields(*args, **options)


@mutant("PROFILES-212", "PROFILES-213")
class NeverStale(InMemoryProfileStore):
    """A definition's freshness is not looked at."""

    async def get_field_definition(self, *args: Any) -> ProfileFieldDefinition | None:
        found = await super().get_field_definition(*args)
        return found and found.model_copy(update={"freshness_seconds": None})


@mutant("PROFILES-213")
class WarningsBlock(InMemoryProfileStore):
    """Whatever the policy says, the default freshness blocks."""

    def __init__(self, context: BackendContext | None = None) -> None:
        given = context or BackendContext()
        policy = replace(given.profile_policy, stale_field_action=StaleFieldAction.BLOCK)
        super().__init__(replace(given, profile_policy=policy))


@mutant("PROFILES-214", "PROFILES-222")
class VerificationIsOptional(InMemoryProfileStore):
    """required_verification is not looked at."""

    async def get_field_definition(self, *args: Any) -> ProfileFieldDefinition | None:
        found = await super().get_field_definition(*args)
        return found and found.model_copy(update={"required_verification": False})


@mutant("PROFILES-215")
class FixedConfidence(InMemoryProfileStore):
    """The confidence required is always the default."""

    async def get_scenario_requirements(self, *args: Any, **options: Any) -> Found:
        found = await super().get_scenario_requirements(*args, **options)
        return [one.model_copy(update={"extraction_confidence": 0.85}) for one in found]


@mutant("PROFILES-216")
class EveryModeIsStrict(InMemoryProfileStore):
    """Violations count in every validation mode."""

    async def get_field_definition(self, *args: Any) -> ProfileFieldDefinition | None:
        found = await super().get_field_definition(*args)
        return found and found.model_copy(update={"validation_mode": ValidationMode.STRICT})


@mutant("PROFILES-217")
class DisabledDefinitionsHold(InMemoryProfileStore):
    """A disabled definition is applied."""

    async def get_field_definition(self, *args: Any) -> ProfileFieldDefinition | None:
        found = await super().get_field_definition(*args)
        return found and found.model_copy(update={"enabled": True})


@mutant("PROFILES-218")
class EachFieldByItself(InMemoryProfileStore):
    """What a requirement depends on is not looked at."""

    async def get_scenario_requirements(self, *args: Any, **options: Any) -> Found:
        found = await super().get_scenario_requirements(*args, **options)
        return [one.model_copy(update={"depends_on_fields": []}) for one in found]


@mutant("PROFILES-219")
class DependentsWait(InMemoryProfileStore):
    """What depends on something missing is not reported."""

    async def get_missing_fields(self, *args: Any, **options: Any) -> Found:
        found = await super().get_missing_fields(*args, **options)
        names = {one.field_name for one in found}
        return [one for one in found if names.isdisjoint(one.depends_on_fields)]


@mutant("PROFILES-220")
class UnknownMeansNo(InMemoryProfileStore):
    """A condition that cannot be judged switches the requirement off."""

    async def get_missing_fields(self, *args: Any, evaluate: Any = None, **options: Any) -> Found:
        judge = evaluate and (lambda condition, profile: bool(evaluate(condition, profile)))
        return await super().get_missing_fields(*args, evaluate=judge, **options)


@mutant("PROFILES-221")
class EveryLevel(InMemoryProfileStore):
    """The level is ignored."""

    async def get_missing_fields(self, *args: Any, required_level: str | None = "hard", **options: Any) -> Found:
        return await super().get_missing_fields(*args, required_level=None, **options)


@mutant("PROFILES-222")
class EveryAgent(InMemoryProfileStore):
    """agent_id is ignored."""

    async def get_missing_fields(self, *args: Any, agent_id: UUID | None = None, **options: Any) -> Found:
        return await super().get_missing_fields(*args, **options)
