"""What all backends check of migration plans and scenarios against what they have stored."""

from __future__ import annotations

from uuid import UUID

from focal_core.config.models import LEGAL_TRANSITIONS, MigrationPlan, MigrationPlanStatus, Scenario
from focal_core.errors import ConflictError
from focal_core.vectors import VectorPolicy

OVER = frozenset({MigrationPlanStatus.REJECTED, MigrationPlanStatus.SUPERSEDED})
"""Plans of these states are no longer in force."""


def check_transition(plan: MigrationPlan, stored: MigrationPlanStatus) -> None:
    """Refuse a status that the stored one does not lead to.

    Raises:
        ConflictError: code ``plan_transition_illegal``.
    """
    if plan.status is not stored and plan.status not in LEGAL_TRANSITIONS[stored]:
        raise ConflictError(
            f"migration plan {plan.id} cannot go from {stored} to {plan.status}",
            code="plan_transition_illegal",
            hint=f"it may go to: {', '.join(sorted(LEGAL_TRANSITIONS[stored])) or 'nothing else'}",
        )


def plan_deployed(plan_id: UUID) -> ConflictError:
    """Return the error for deleting a plan that is deployed."""
    return ConflictError(
        f"migration plan {plan_id} is deployed", code="plan_deployed", hint="save it as superseded first"
    )


def archive_differs(scenario: Scenario) -> ConflictError:
    """Return the error for archiving other content under a version that is archived already."""
    return ConflictError(
        f"version {scenario.version} of scenario {scenario.id} is archived with other content",
        code="archive_differs",
        hint="count the scenario's version on and archive that",
    )


def check_spaces(scenario: Scenario, policy: VectorPolicy) -> None:
    """Refuse a scenario with a vector, its own or a transition's, of a space that is not registered.

    Raises:
        EmbeddingSpaceError: code ``space_unknown``.
    """
    policy.check(scenario.entry_embedding_model, scenario.entry_embedding)
    for step in scenario.steps:
        for way in step.transitions:
            policy.check(way.condition_embedding_model, way.condition_embedding)
