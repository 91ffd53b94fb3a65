"""What the contract of missing fields cannot see: the warning, and that nothing is left behind."""

from __future__ import annotations

import gc
import logging
from datetime import timedelta
from uuid import UUID

import pytest

from focal_core.clock import utc_now
from focal_core.profile.missing import missing_fields
from focal_core.profile.models import CustomerProfile, ProfileField, RequiredLevel, ScenarioFieldRequirement
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction

TENANT, AGENT, SCENARIO = UUID(int=1), UUID(int=2), UUID(int=3)


def requirement(name: str, *depends_on: str) -> ScenarioFieldRequirement:
    return ScenarioFieldRequirement(
        tenant_id=TENANT, agent_id=AGENT, scenario_id=SCENARIO, field_name=name, depends_on_fields=list(depends_on)
    )


def profile_of(age: timedelta) -> CustomerProfile:
    field = ProfileField(name="email", value="a@b.example", collected_at=utc_now() - age)
    return CustomerProfile(tenant_id=TENANT, fields={"email": field})


@pytest.mark.parametrize(
    ("action", "missing", "warned"),
    [(StaleFieldAction.WARN, 0, True), (StaleFieldAction.BLOCK, 1, False), (StaleFieldAction.IGNORE, 0, False)],
)
def test_default_freshness_warns_blocks_or_is_ignored(
    action: StaleFieldAction, missing: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The default freshness does what stale_field_action says; a warning names ids, never the value."""
    policy = ProfilePolicy(default_freshness_seconds=60, stale_field_action=action)
    with caplog.at_level(logging.WARNING, "focal.profile"):
        found = missing_fields(
            [requirement("email")],
            profile_of(timedelta(minutes=2)),
            {},
            now=utc_now(),
            policy=policy,
            level=RequiredLevel.HARD,
        )
    assert len(found) == missing
    assert ("default freshness" in caplog.text) is warned
    assert "a@b.example" not in caplog.text


def test_nothing_waits_for_the_garbage_collector() -> None:
    """Asking what is missing leaves no reference cycle behind."""
    requirements = [requirement("phone", "email"), requirement("email")]
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            missing_fields(
                requirements,
                profile_of(timedelta()),
                {},
                now=utc_now(),
                policy=ProfilePolicy(),
                level=None,
            )
        assert gc.collect() == 0
    finally:
        gc.enable()
