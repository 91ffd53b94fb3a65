"""Which requirements of a scenario a profile does not meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from focal_core.profile.conformance import violations
from focal_core.profile.models import (
    CustomerProfile,
    ProfileField,
    ProfileFieldDefinition,
    ProfileFieldSource,
    RequiredLevel,
    ScenarioFieldRequirement,
    ValidationMode,
)
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction
from focal_core.profile.status import is_active

logger = logging.getLogger("focal.profile")

Evaluate = Callable[[str, CustomerProfile], bool | None]
"""Judges a ``when_condition``: False = the requirement does not apply."""


def missing_fields(
    requirements: Sequence[ScenarioFieldRequirement],
    profile: CustomerProfile,
    definitions: Mapping[tuple[UUID, str], ProfileFieldDefinition],
    *,
    now: datetime,
    policy: ProfilePolicy,
    level: RequiredLevel | None,
    evaluate: Evaluate | None = None,
) -> list[ScenarioFieldRequirement]:
    """Return the requirements a profile does not meet, each behind those it depends on.

    Args:
        requirements: in the order to collect them.
        profile: the profile.
        definitions: (agent, field name) -> definition, at least for the fields the profile has.
        now: the moment.
        policy: tells the default freshness.
        level: which to return; those of the other level still count as dependencies.
        evaluate: judges conditions.
    """
    applying = [
        one
        for one in requirements
        if one.when_condition is None or evaluate is None or evaluate(one.when_condition, profile) is not False
    ]
    missing = {
        one.id
        for one in applying
        if not is_met(
            one, profile.fields.get(one.field_name), definitions.get((one.agent_id, one.field_name)), now, policy
        )
    }
    met_elsewhere = {name for name, field in profile.fields.items() if is_active(field, now)}
    named = {one.field_name for one in requirements}
    walk = _DependencyWalk(applying, missing, lambda name: name not in named and name not in met_elsewhere)
    return [one for one in walk.ordered if level is None or one.required_level is level]


class _DependencyWalk:
    """Puts missing requirements behind those they depend on, which may make further ones missing.

    A class, not a closure that calls itself: that would be a reference cycle for each call, kept until a collection.

    Args:
        applying: the requirements, in the order to collect them.
        missing: ids of those not met by themselves; added to.
        is_absent: whether a field that no requirement is about is not there.
    """

    def __init__(
        self,
        applying: Sequence[ScenarioFieldRequirement],
        missing: set[UUID],
        is_absent: Callable[[str], bool],
    ) -> None:
        self.ordered: list[ScenarioFieldRequirement] = []
        self._missing = missing
        self._is_absent = is_absent
        self._visited: set[UUID] = set()
        self._by_name: dict[str, list[ScenarioFieldRequirement]] = {}
        for one in applying:
            self._by_name.setdefault(one.field_name, []).append(one)
        for one in applying:
            self._visit(one)

    def _visit(self, requirement: ScenarioFieldRequirement) -> None:
        if requirement.id in self._visited:
            return
        self._visited.add(requirement.id)
        for name in requirement.depends_on_fields:
            for needed in self._by_name.get(name, ()):
                self._visit(needed)
            if self._is_absent(name) or any(needed.id in self._missing for needed in self._by_name.get(name, ())):
                self._missing.add(requirement.id)
        if requirement.id in self._missing:
            self.ordered.append(requirement)


def is_met(
    requirement: ScenarioFieldRequirement,
    field: ProfileField | None,
    definition: ProfileFieldDefinition | None,
    now: datetime,
    policy: ProfilePolicy,
) -> bool:
    """Return whether a field by itself is what a requirement asks for, whatever the requirement depends on.

    Args:
        requirement: the requirement.
        field: the profile's field of that name, if it has one.
        definition: its definition, if there is one; a disabled one is none.
        now: the moment.
        policy: tells the default freshness.
    """
    if field is None or not is_active(field, now):
        return False
    extracted = field.source is ProfileFieldSource.LLM_EXTRACTED
    if extracted and field.confidence < requirement.extraction_confidence:
        return False
    if definition is not None and not definition.enabled:
        definition = None
    if _is_stale(field, definition, now, policy):
        return False
    if definition is None:
        return True
    if definition.required_verification and not field.verified:
        return False
    return definition.validation_mode is not ValidationMode.STRICT or not violations(field, definition)


def _is_stale(
    field: ProfileField, definition: ProfileFieldDefinition | None, now: datetime, policy: ProfilePolicy
) -> bool:
    if definition is not None and definition.freshness_seconds is not None:
        return _older(field, definition.freshness_seconds, now)
    action, default = policy.stale_field_action, policy.default_freshness_seconds
    if not default or action is StaleFieldAction.IGNORE or not _older(field, default, now):
        return False
    if action is StaleFieldAction.WARN:
        logger.warning("field %s is older than the default freshness of %d s", field.id, default)
        return False
    return True


def _older(field: ProfileField, seconds: int, now: datetime) -> bool:
    return (now - field.collected_at).total_seconds() > seconds
