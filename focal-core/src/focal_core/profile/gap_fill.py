"""Filling what a scenario needs and a profile lacks: from the profile, the session, or the conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from focal_core.conversation.models import Session
from focal_core.errors import InvalidDataError, NotFoundError, SchemaValidationError
from focal_core.gate import member
from focal_core.profile.extraction import StructuredLLM, extract, typed
from focal_core.profile.history import ConversationSource
from focal_core.profile.missing import is_met
from focal_core.profile.models import (
    FallbackAction,
    GapFillResult,
    GapFillSource,
    ProfileField,
    ProfileFieldDefinition,
    ProfileFieldSource,
    RequiredLevel,
    ScenarioFieldRequirement,
    SourceType,
    ValueType,
)
from focal_core.profile.store import ProfileStore
from focal_core.profile.validation import SchemaValidationService
from focal_core.profile.value_types import matches_type


@dataclass(frozen=True)
class Gap:
    """A value that is looked for.

    Attributes:
        field_name: the field.
        session: the session it is looked for in.
        value_type: the type it must have.
        description: what it means.
        requirement: the requirement it is to meet, if there is one.
        definition: its definition, if there is one.
    """

    field_name: str
    session: Session
    value_type: ValueType
    description: str | None
    requirement: ScenarioFieldRequirement | None
    definition: ProfileFieldDefinition | None

    def result(self, **values: Any) -> GapFillResult:
        """Return a result for this gap; without values one that found nothing."""
        if (needed := self.requirement) is not None:
            values |= {
                "required_level": needed.required_level,
                "fallback_action": needed.fallback_action,
                "collection_order": needed.collection_order,
            }
        return GapFillResult(field_name=self.field_name, field_definition=self.definition, **values)


class GapFillService:
    """Looks for missing values.

    Args:
        profile_store: where profiles are.
        llm_executor: reads values from conversations; None = they are not read.
        history: where conversations are; None = they are not read.
        use_threshold: confidence from which an extracted value is used.
        confirm_threshold: confidence below which a used value is to be confirmed by the customer.
        max_turns: newest turns that are read.
        persist: whether extracted values are written to the profile.
    """

    def __init__(
        self,
        profile_store: ProfileStore,
        llm_executor: StructuredLLM | None = None,
        *,
        history: ConversationSource | None = None,
        use_threshold: float = 0.85,
        confirm_threshold: float = 0.95,
        max_turns: int = 20,
        persist: bool = True,
    ) -> None:
        self._profile_store = profile_store
        self._llm = llm_executor
        self._history = history
        self._use_threshold = use_threshold
        self._confirm_threshold = confirm_threshold
        self._max_turns = max_turns
        self._persist = persist

    async def fill_gap(
        self,
        field_name: str,
        session: Session,
        field_type: str = "string",
        field_description: str | None = None,
        *,
        requirement: ScenarioFieldRequirement | None = None,
        skip_extraction: bool = False,
    ) -> GapFillResult:
        """Look for a value in the profile, then in the session's variables, then in the conversation.

        The first valid value is taken. When there is none, the result holds the first invalid one with what is wrong
        with it, if any was found. An extracted value is written to the profile.

        Args:
            field_name: the field.
            session: the session.
            field_type: type of the value; a definition's goes before.
            field_description: what the value means.
            requirement: what the value is for: a value of the profile that does not meet it is not taken.
            skip_extraction: True leaves the conversation out.

        Raises:
            InvalidDataError: field_type is none.
            ProviderError: the model failed.
            NotFoundError: a value was extracted and the session's profile does not exist.
            StoreUnavailableError: a store did not answer; safe to retry.
        """
        gap = await self._gap(field_name, session, field_type, field_description, requirement)
        return _judged(gap, await self._fill(gap, skip_extraction=skip_extraction))

    async def try_conversation_extraction(
        self, field_name: str, session: Session, field_type: str = "string", field_description: str | None = None
    ) -> GapFillResult:
        """Look for a value in the conversation only, and write nothing.

        Not found without a model, a history or a message. Not filled, though the value is told, when the model is
        less sure than ``use_threshold`` or the value is invalid.

        Args:
            field_name: the field.
            session: the session.
            field_type: type of the value; a definition's goes before.
            field_description: what the value means.

        Raises:
            InvalidDataError: field_type is none.
            ProviderError: the model failed.
        """
        return await self._extracted(await self._gap(field_name, session, field_type, field_description, None))

    async def _gap(
        self,
        field_name: str,
        session: Session,
        field_type: str,
        description: str | None,
        requirement: ScenarioFieldRequirement | None,
    ) -> Gap:
        definition = await self._definition(session, field_name, requirement)
        value_type = member(ValueType, field_type, "field_type") if definition is None else definition.value_type
        if description is None and definition is not None:
            description = definition.extraction_prompt_hint or definition.description
        return Gap(field_name, session, value_type, description, requirement, definition)

    async def _definition(
        self, session: Session, field_name: str, requirement: ScenarioFieldRequirement | None
    ) -> ProfileFieldDefinition | None:
        """Return the definition that holds; here none does."""
        return None

    def _violations(self, field: ProfileField, definition: ProfileFieldDefinition) -> list[str]:
        """Return what forbids a value, one sentence each; here nothing does."""
        return []

    async def _fill(self, gap: Gap, *, skip_extraction: bool) -> GapFillResult:
        refused = None
        places = [self._from_profile, self._from_session]
        if not skip_extraction:
            places.append(self._from_conversation)
        for look in places:
            result = await look(gap)
            if result.filled:
                return result
            if refused is None and result.source is not GapFillSource.NOT_FOUND:
                refused = result
        return refused or gap.result()

    async def _from_profile(self, gap: Gap) -> GapFillResult:
        profile_id = gap.session.customer_profile_id
        if profile_id is None:
            return gap.result()
        field = await self._profile_store.get_field(gap.session.tenant_id, profile_id, gap.field_name)
        if field is None:
            return gap.result()
        result = gap.result(
            value=field.value,
            source=GapFillSource.PROFILE,
            confidence=field.confidence,
            needs_confirmation=field.requires_confirmation,
            source_item_id=field.id,
            source_item_type=SourceType.PROFILE_FIELD,
        )
        result = self._checked(gap, result, field)
        context = self._profile_store.context
        if (
            result.filled
            and gap.requirement is not None
            and not is_met(gap.requirement, field, gap.definition, context.clock.now(), context.profile_policy)
        ):
            return gap.result()
        return result

    async def _from_session(self, gap: Gap) -> GapFillResult:
        if gap.field_name not in gap.session.variables:
            return gap.result()
        return self._checked(
            gap,
            gap.result(
                value=gap.session.variables[gap.field_name],
                source=GapFillSource.SESSION,
                confidence=1.0,
                source_item_type=SourceType.SESSION,
                source_metadata={"session_id": str(gap.session.session_id)},
            ),
        )

    async def _from_conversation(self, gap: Gap) -> GapFillResult:
        result = await self._extracted(gap)
        profile_id = gap.session.customer_profile_id
        kept = self._persist and (gap.definition is None or gap.definition.persist)
        if not result.filled or not kept or profile_id is None:
            return result
        try:
            await self._profile_store.update_field(
                gap.session.tenant_id, profile_id, self._field(gap, result), agent_id=_agent_id(gap)
            )
        except InvalidDataError as error:
            return _refused(result, [str(error)])
        return result

    async def _extracted(self, gap: Gap) -> GapFillResult:
        if self._llm is None or self._history is None:
            return gap.result()
        messages = await self._history(gap.session, self._max_turns)
        if not messages:
            return gap.result()
        found = await extract(self._llm, messages, gap.field_name, gap.value_type, gap.description)
        if found is None or found.value is None:
            return gap.result()
        result = gap.result(
            value=typed(found.value, gap.value_type),
            source=GapFillSource.EXTRACTION,
            confidence=found.confidence,
            needs_confirmation=found.confidence < self._confirm_threshold,
            extraction_quote=found.quote,
            source_item_type=SourceType.SESSION,
            source_metadata={"session_id": str(gap.session.session_id), "extraction_method": "llm"},
        )
        wanted = max(self._use_threshold, 0.0 if gap.requirement is None else gap.requirement.extraction_confidence)
        return result if found.confidence < wanted else self._checked(gap, result)

    def _checked(self, gap: Gap, result: GapFillResult, field: ProfileField | None = None) -> GapFillResult:
        """Return a result as filled, or with what is wrong with its value.

        Args:
            gap: what is looked for.
            result: what was found.
            field: the field it was found in; None = one is made of it.
        """
        if not matches_type(result.value, gap.value_type):
            return _refused(result, [f"expected a value of type {gap.value_type.value}"])
        if gap.definition is not None:
            errors = self._violations(field or self._field(gap, result), gap.definition)
            if errors:
                return _refused(result, errors)
        result.filled = True
        return result

    def _field(self, gap: Gap, result: GapFillResult) -> ProfileField:
        context, session = self._profile_store.context, gap.session
        return ProfileField(
            id=context.id_factory(),
            name=gap.field_name,
            value=result.value,
            value_type=gap.value_type,
            source=ProfileFieldSource.LLM_EXTRACTED,
            source_session_id=session.session_id,
            source_scenario_id=session.active_scenario_id,
            source_step_id=session.current_step_id,
            source_item_type=result.source_item_type,
            source_metadata=result.source_metadata,
            confidence=result.confidence,
            requires_confirmation=result.needs_confirmation,
            collected_at=context.clock.now(),
            field_definition_id=None if gap.definition is None else gap.definition.id,
        )


class EnhancedGapFillService(GapFillService):
    """Looks for all that a scenario needs, by its requirements and by the definitions of their fields.

    Args:
        profile_store: where profiles, definitions and requirements are.
        llm_executor: as in ``GapFillService``.
        schema_validator: judges values; None = one over the profile store.
        options: the keyword arguments of ``GapFillService``.
    """

    def __init__(
        self,
        profile_store: ProfileStore,
        llm_executor: StructuredLLM | None = None,
        schema_validator: SchemaValidationService | None = None,
        **options: Any,
    ) -> None:
        super().__init__(profile_store, llm_executor, **options)
        self._validator = schema_validator or SchemaValidationService(profile_store)

    async def fill_scenario_requirements(
        self, session: Session, scenario_id: UUID, step_id: UUID | None = None
    ) -> dict[str, GapFillResult]:
        """Look for every field that a scenario needs and the session's profile lacks; field name -> result.

        The results stand in the order to collect them. With fallback ``extract`` the conversation is read first, with
        the others last; it is read once for each field. A field that stays unfilled, is required hard and has fallback
        ``block`` is ``blocked``.

        Args:
            session: the session; without ``customer_profile_id`` nothing is looked for.
            scenario_id: the scenario.
            step_id: None = only what the whole scenario needs; a step adds what it needs itself.

        Raises:
            NotFoundError: the session's profile does not exist.
            ProviderError: the model failed; what was filled before is written already, and is not asked for again.
            StoreUnavailableError: a store did not answer; safe to retry.
        """
        if session.customer_profile_id is None:
            return {}
        profile = await self._profile_store.get_by_id(session.tenant_id, session.customer_profile_id)
        if profile is None:
            raise NotFoundError(
                f"no profile {session.customer_profile_id}", hint="the session names it as its customer_profile_id"
            )
        missing = await self._profile_store.get_missing_fields(
            session.tenant_id, profile, scenario_id, step_id=step_id, required_level=None
        )
        results: dict[str, GapFillResult] = {}
        for requirement in missing:
            result = results.get(requirement.field_name)
            if result is None:
                results[requirement.field_name] = await self._fill_by_strategy(session, requirement)
            elif not result.filled and _blocks(requirement):
                result.required_level, result.fallback_action = requirement.required_level, requirement.fallback_action
                result.blocked = True
        return results

    async def _fill_by_strategy(self, session: Session, requirement: ScenarioFieldRequirement) -> GapFillResult:
        gap = await self._gap(requirement.field_name, session, "string", None, requirement)
        if requirement.fallback_action is not FallbackAction.EXTRACT:
            return _judged(gap, await self._fill(gap, skip_extraction=False))
        extracted = await self._from_conversation(gap)
        if extracted.filled:
            return extracted
        other = await self._fill(gap, skip_extraction=True)
        return other if other.filled or extracted.source is GapFillSource.NOT_FOUND else extracted

    async def _definition(
        self, session: Session, field_name: str, requirement: ScenarioFieldRequirement | None
    ) -> ProfileFieldDefinition | None:
        agent_id = session.agent_id if requirement is None else requirement.agent_id
        definition = await self._validator.get_definition(session.tenant_id, agent_id, field_name)
        return definition if definition is not None and definition.enabled else None

    def _violations(self, field: ProfileField, definition: ProfileFieldDefinition) -> list[str]:
        try:
            self._validator.enforce(field, definition)
        except SchemaValidationError as error:
            return error.errors
        return []


def _agent_id(gap: Gap) -> UUID:
    return gap.session.agent_id if gap.requirement is None else gap.requirement.agent_id


def _refused(result: GapFillResult, errors: list[str]) -> GapFillResult:
    result.filled = False
    result.validation_errors = errors
    return result


def _judged(gap: Gap, result: GapFillResult) -> GapFillResult:
    result.blocked = not result.filled and gap.requirement is not None and _blocks(gap.requirement)
    return result


def _blocks(requirement: ScenarioFieldRequirement) -> bool:
    return requirement.required_level is RequiredLevel.HARD and requirement.fallback_action is FallbackAction.BLOCK
