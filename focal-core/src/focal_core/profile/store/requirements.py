"""Scenario requirements: which fields a scenario needs, and which of them a profile lacks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import member
from focal_core.profile.missing import missing_fields
from focal_core.profile.models import CustomerProfile, RequiredLevel, ScenarioFieldRequirement
from focal_core.profile.store.schema import FieldSchema


class ScenarioRequirements(FieldSchema):
    """Which fields scenarios need.

    Attributes:
        context: clock and profile policy the store was made with.
    """

    context: BackendContext

    @abstractmethod
    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> list[ScenarioFieldRequirement]:
        """Return the requirements of a scenario by collection_order, then field_name, then id, ascending.

        Args:
            tenant_id: the owner.
            scenario_id: the scenario.
            step_id: None = only those of the whole scenario; a step adds its own to these.

        Raises:
            InvalidDataError: there are too many (code ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_scenario_requirement(self, requirement: ScenarioFieldRequirement) -> UUID:
        """Insert or update a requirement by its id, and return the id.

        created_at and updated_at are set on the object passed in.

        Raises:
            DuplicateError: another requirement asks for the field at the same place (code ``requirement_taken``).
            InvalidDataError: the requirement is invalid.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        """Remove requirements of a scenario for good and return how many.

        Args:
            tenant_id: the owner.
            scenario_id: the scenario.
            step_id: only those of this step; None = only those of the whole scenario.
            all_steps: True removes all of the scenario, steps included.

        Raises:
            InvalidDataError: both step_id and all_steps are given (code ``step_ambiguous``).
            StoreUnavailableError: nothing was written; safe to retry.
        """

    async def get_missing_fields(
        self,
        tenant_id: UUID,
        profile: CustomerProfile,
        scenario_id: UUID,
        *,
        step_id: UUID | None = None,
        required_level: str | None = "hard",
        agent_id: UUID | None = None,
        evaluate: Callable[[str, CustomerProfile], bool | None] | None = None,
    ) -> list[ScenarioFieldRequirement]:
        """Return the requirements of a scenario that a profile does not meet, in the order to collect them.

        A requirement is unmet when the profile has no field of its name that is active now; when the field is older
        than its definition's ``freshness_seconds``, or than the default freshness while ``stale_field_action`` is
        block (warn logs it, ignore does not; both take it as met); when it is not verified though the definition
        requires it; when it was extracted by a model with less than ``extraction_confidence``; when it violates a
        strict definition; or when a field it depends on is missing. The definition is that of the requirement's
        agent; a disabled one is none.

        Order: collection_order, field_name, id, but a requirement stands behind those it depends on.

        Args:
            tenant_id: the owner.
            profile: the profile as it was read; it is not read again.
            scenario_id: the scenario.
            step_id: as in ``get_scenario_requirements``.
            required_level: ``"hard"``, ``"soft"``, or None for both; of what is returned, not of what it depends on.
            agent_id: only requirements of this agent.
            evaluate: called with ``when_condition`` and the profile; False = the requirement does not apply. True,
                None and no evaluator = it applies.

        Raises:
            InvalidDataError: required_level is another (code ``enum_invalid``).
            StoreUnavailableError: no answer; safe to retry.
        """
        level = None if required_level is None else member(RequiredLevel, required_level, "required_level")
        found = await self.get_scenario_requirements(tenant_id, scenario_id, step_id=step_id)
        requirements = [one for one in found if agent_id is None or one.agent_id == agent_id]
        wanted = {(one.agent_id, one.field_name) for one in requirements if one.field_name in profile.fields}
        definitions = {
            (agent, name): definition
            for agent, name in wanted
            if (definition := await self.get_field_definition(tenant_id, agent, name)) is not None
        }
        return missing_fields(
            requirements,
            profile,
            definitions,
            now=self.context.clock.now(),
            policy=self.context.profile_policy,
            level=level,
            evaluate=evaluate,
        )
