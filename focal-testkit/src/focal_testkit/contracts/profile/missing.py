"""Missing fields: which requirements a profile does not meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.profile.models import CustomerProfile
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    OTHER_AGENT,
    OTHER_SCENARIO,
    OTHER_STEP,
    PROFILE,
    SCENARIO,
    STEP,
    definition,
    holding,
    item,
    needs,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

TICK = timedelta(microseconds=1)


async def _missing(store: ProfileStore, given: CustomerProfile | None = None, **options: Any) -> list[str]:
    """Return the names a profile lacks; the stored one by default."""
    subject = given if given is not None else await store.get_by_id(OURS, PROFILE)
    assert subject is not None
    found = await store.get_missing_fields(OURS, subject, SCENARIO, **options)
    return [one.field_name for one in found]


async def _require(store: ProfileStore, *names: str, **fields: Any) -> None:
    for n, name in enumerate(names):
        await store.save_scenario_requirement(needs(n, name, **fields))


class MissingContract(ContractBase):
    """``get_missing_fields``."""

    @requirement("PROFILES-210", since="1.0")
    async def test_missing_fields_absent(self, store: ProfileStore) -> None:
        """What the profile has no active field for is missing, in the order to collect; the profile given is judged.

        If this fails: expired or superseded values count, the profile is read anew, or the order is lost.
        """
        await _require(store, "zip", "email", "plan", "city", "birthday")
        await store.save_scenario_requirement(needs(9, "theirs", THEIRS))
        await store.save_scenario_requirement(needs(10, "other", scenario_id=OTHER_SCENARIO))
        await store.save(profile(0, fields=holding(item(0), item(1, "plan", expires_at=LAPSED))))

        assert await _missing(store) == ["zip", "plan", "city", "birthday"]
        stale_copy = profile(0, fields=holding(item(1, "plan", expires_at=LAPSED), item(2, "city", expires_at=FAR)))
        assert await _missing(store, stale_copy) == ["zip", "email", "plan", "birthday"]
        assert await store.get_missing_fields(THEIRS, profile(0, THEIRS), OTHER_SCENARIO) == []

    @requirement("PROFILES-211", since="1.0")
    async def test_missing_fields_of_step(self, store: ProfileStore) -> None:
        """A step needs what the scenario needs and its own; without step only what the scenario needs as a whole.

        If this fails: the step is ignored, or replaces what the scenario needs.
        """
        await _require(store, "email")
        await store.save_scenario_requirement(needs(1, "city", step_id=STEP))
        await store.save_scenario_requirement(needs(2, "zip", step_id=OTHER_STEP))

        assert await _missing(store, profile()) == ["email"]
        assert await _missing(store, profile(), step_id=STEP) == ["email", "city"]

    @requirement("PROFILES-212", since="1.0")
    async def test_missing_fields_stale(self, store: ProfileStore, clock: ManualClock) -> None:
        """A field older than its definition's freshness is missing; at that very age it is not yet.

        If this fails: freshness is not enforced, is off by the boundary, or taken from another agent's definition.
        """
        await _require(store, "email")
        await store.save_scenario_requirement(needs(1, "city"))
        await store.save_field_definition(definition(0, freshness_seconds=3600))
        await store.save_field_definition(definition(1, agent_id=OTHER_AGENT, freshness_seconds=60))
        await store.save_field_definition(definition(2, "city", freshness_seconds=0))
        fresh = item(0, collected_at=clock.now() - timedelta(seconds=3600))
        await store.save(profile(0, fields=holding(fresh, item(1, "city"))))

        assert await _missing(store) == []
        clock.advance(TICK)
        assert await _missing(store) == ["email"]

    @pytest.mark.parametrize("action", list(StaleFieldAction))
    @requirement("PROFILES-213", since="1.0")
    async def test_default_freshness(self, context: BackendContext, clock: ManualClock, action: Any) -> None:
        """The default freshness makes a field missing only if the policy says block; a definition's own always (C-67).

        If this fails: warn blocks, block is ignored, or the default overrules a definition.
        """
        policy = ProfilePolicy(default_freshness_seconds=60, stale_field_action=action)
        async with self.open_store(replace(context, profile_policy=policy)) as store:
            await _require(store, "undefined", "silent", "longer", "shorter", "fresh")
            await store.save_field_definition(definition(0, "silent"))
            await store.save_field_definition(definition(1, "longer", freshness_seconds=3600))
            await store.save_field_definition(definition(2, "shorter", freshness_seconds=30))
            age = {"collected_at": clock.now() - timedelta(seconds=60) - TICK}
            fields = [item(n, name, **age) for n, name in enumerate(("undefined", "silent", "longer", "shorter"))]
            fresh = item(9, "fresh", collected_at=clock.now() - timedelta(seconds=60))
            await store.save(profile(0, fields=holding(*fields, fresh)))

            found = await _missing(store)

        assert found == (["undefined", "silent", "shorter"] if action is StaleFieldAction.BLOCK else ["shorter"])

    @requirement("PROFILES-214", since="1.0")
    async def test_missing_fields_unverified(self, store: ProfileStore) -> None:
        """An unverified field is missing where its definition requires verification, in any validation mode.

        If this fails: verification is not enforced, or is enforced without a definition that asks for it.
        """
        await _require(store, "email", "phone", "city", "plan")
        await store.save_field_definition(definition(0, "email", required_verification=True))
        await store.save_field_definition(definition(1, "phone", required_verification=True))
        await store.save_field_definition(definition(2, "city"))
        await store.save_field_definition(definition(3, "plan", required_verification=True, validation_mode="disabled"))
        await store.save(
            profile(0, fields=holding(item(0), item(1, "phone", verified=True), item(2, "city"), item(3, "plan")))
        )

        assert await _missing(store) == ["email", "plan"]

    @requirement("PROFILES-215", since="1.0")
    async def test_missing_fields_unsure(self, store: ProfileStore) -> None:
        """A field a model extracted with less confidence than required is missing; other sources are not measured.

        If this fails: the boundary is off, every source is measured, or a fixed confidence is.
        """
        await _require(store, "below", "equal", "told", "tool", extraction_confidence=0.7)
        extracted = {"source": "llm_extracted"}
        fields = [
            item(0, "below", confidence=0.69, **extracted),
            item(1, "equal", confidence=0.7, **extracted),
            item(2, "told", confidence=0.1),
            item(3, "tool", confidence=0.0, source="tool_result"),
        ]
        await store.save(profile(0, fields=holding(*fields)))

        assert await _missing(store) == ["below"]

    @requirement("PROFILES-216", since="1.0")
    async def test_missing_fields_invalid(self, store: ProfileStore) -> None:
        """A field that violates its strict definition is missing; in modes warn and disabled it is not.

        If this fails: values written before the definition pass, or the mode is ignored.
        """
        modes = ("strict", "warn", "disabled")
        await _require(store, *modes, "typed", "matched")
        for n, mode in enumerate(modes):
            await store.save_field_definition(definition(n, mode, allowed_values=["gold"], validation_mode=mode))
        await store.save_field_definition(definition(3, "typed", value_type="number"))
        await store.save_field_definition(definition(4, "matched", validation_regex="value [0-9]"))
        names = (*modes, "typed", "matched")
        await store.save(profile(0, fields=holding(*(item(n, name) for n, name in enumerate(names)))))

        assert await _missing(store) == ["strict", "typed"]
        await store.update_field(OURS, PROFILE, item(10, "strict", value="gold"))
        await store.update_field(OURS, PROFILE, item(11, "matched", value="value 12"))
        assert await _missing(store) == ["typed", "matched"]

    @requirement("PROFILES-217", since="1.0")
    async def test_missing_fields_definition_disabled(self, store: ProfileStore) -> None:
        """A disabled definition is none: it requires nothing of a field.

        If this fails: a definition that was switched off still makes fields missing.
        """
        await _require(store, "email")
        await store.save_field_definition(
            definition(0, required_verification=True, freshness_seconds=1, allowed_values=["x"], enabled=False)
        )
        await store.save(profile(0, fields=holding(item(0))))

        assert await _missing(store) == []

    @requirement("PROFILES-218", since="1.0")
    async def test_missing_fields_depends_on(self, store: ProfileStore) -> None:
        """A requirement that depends on missing fields is missing itself, and stands behind them.

        If this fails: an agent asks for the second thing first, or takes a value whose basis is gone for granted.
        """
        await store.save_scenario_requirement(needs(0, "contract", depends_on_fields=["address"]))
        await store.save_scenario_requirement(needs(1, "address", depends_on_fields=["zip", "city"]))
        await store.save_scenario_requirement(needs(2, "plan", depends_on_fields=["email"]))
        await store.save_scenario_requirement(needs(3, "city"))
        await store.save_scenario_requirement(needs(4, "zip"))
        await store.save_scenario_requirement(needs(5, "email"))
        await store.save_scenario_requirement(needs(6, "seat", depends_on_fields=["unnamed", "email"]))
        await store.save_scenario_requirement(needs(7, "meal", depends_on_fields=["known"]))
        has = [item(0, "contract"), item(1, "email"), item(2, "plan"), item(3, "city"), item(4, "seat")]
        has += [item(5, "meal"), item(6, "known")]

        assert await _missing(store, profile(0, fields=holding(*has))) == ["zip", "address", "contract", "seat"]
        nothing = ["zip", "city", "address", "contract", "email", "plan", "seat", "meal"]
        assert await _missing(store, profile(0)) == nothing
        lapsed = [*has[:-1], item(6, "known", expires_at=LAPSED), item(9, "zip"), item(10, "address")]
        assert await _missing(store, profile(0, fields=holding(*lapsed))) == ["seat", "meal"]

    @requirement("PROFILES-219", since="1.0")
    async def test_missing_fields_depend_on_each_other(self, store: ProfileStore) -> None:
        """Requirements that depend on each other are each reported once.

        If this fails: a circle of dependencies never ends, or hides what is missing.
        """
        await store.save_scenario_requirement(needs(0, "a", depends_on_fields=["b"]))
        await store.save_scenario_requirement(needs(1, "b", depends_on_fields=["a"]))

        assert sorted(await _missing(store, profile(0))) == ["a", "b"]
        assert await _missing(store, profile(0, fields=holding(item(0, "a"), item(1, "b")))) == []

    @requirement("PROFILES-220", since="1.0")
    async def test_missing_fields_when_condition(self, store: ProfileStore) -> None:
        """A requirement applies unless the evaluator says False of its condition; without condition it always does.

        If this fails: None or no evaluator switches requirements off, or conditions are evaluated that are not there.
        """
        answers: dict[str, bool | None] = {"no": False, "yes": True, "unknown": None}
        for n, condition in enumerate(answers):
            await store.save_scenario_requirement(needs(n, f"when_{condition}", when_condition=condition))
        await store.save_scenario_requirement(needs(3, "always"))
        await store.save_scenario_requirement(needs(4, "behind", depends_on_fields=["when_no"]))
        subject = profile(0, fields=holding(item(0, "behind")))
        asked: list[tuple[str, CustomerProfile]] = []

        def evaluate(condition: str, judged: CustomerProfile) -> bool | None:
            asked.append((condition, judged))
            return answers[condition]

        assert await _missing(store, subject, evaluate=evaluate) == ["when_yes", "when_unknown", "always"]
        assert sorted(condition for condition, _ in asked) == ["no", "unknown", "yes"]
        assert all(judged == subject for _, judged in asked)
        everything = ["when_no", "when_yes", "when_unknown", "always", "behind"]
        assert await _missing(store, subject) == everything

    @requirement("PROFILES-221", since="1.0")
    async def test_missing_fields_level(self, store: ProfileStore) -> None:
        """Hard requirements are reported unless soft ones or, by None, both are asked for; other levels are refused.

        If this fails: the level is ignored or misspelt levels report nothing, or a soft one hides what depends on it.
        """
        await store.save_scenario_requirement(needs(0, "hard"))
        await store.save_scenario_requirement(needs(1, "soft", required_level="soft"))
        await store.save_scenario_requirement(needs(2, "behind", depends_on_fields=["soft"]))
        subject = profile(0, fields=holding(item(0, "behind")))

        assert await _missing(store, subject) == ["hard", "behind"]
        assert await _missing(store, subject, required_level="hard") == ["hard", "behind"]
        assert await _missing(store, subject, required_level="soft") == ["soft"]
        assert await _missing(store, subject, required_level=None) == ["hard", "soft", "behind"]
        for wrong in ("medium", "", "all"):
            with pytest.raises(InvalidDataError):
                await _missing(store, subject, required_level=wrong)

    @requirement("PROFILES-222", since="1.0")
    async def test_missing_fields_of_agent(self, store: ProfileStore) -> None:
        """Each requirement is judged by the definition of its own agent; ``agent_id`` keeps one agent's (C-23).

        If this fails: one agent's freshness or verification is enforced on another's requirements.
        """
        await store.save_scenario_requirement(needs(0))
        await store.save_scenario_requirement(needs(1, agent_id=OTHER_AGENT))
        await store.save_field_definition(definition(0, agent_id=OTHER_AGENT, required_verification=True))
        await store.save_field_definition(definition(1, tenant=THEIRS, required_verification=True))
        await store.save(profile(0, fields=holding(item(0))))
        subject = await store.get_by_id(OURS, PROFILE)
        assert subject is not None

        async def agents(given: CustomerProfile, **options: Any) -> list[Any]:
            return [one.agent_id for one in await store.get_missing_fields(OURS, given, SCENARIO, **options)]

        assert await agents(subject) == [OTHER_AGENT]
        assert await agents(profile(0)) == [AGENT, OTHER_AGENT]
        assert await agents(profile(0), agent_id=AGENT) == [AGENT]
        assert await agents(subject, agent_id=AGENT) == []
