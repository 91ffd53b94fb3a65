"""Builders of configuration with fixed ids and times; invariants of generated instances."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from focal_core.base import FocalModel
from focal_core.config.models import (
    Agent,
    MigrationPlan,
    Rule,
    Scenario,
    ScenarioStep,
    Scope,
    Scoped,
    StepTransition,
    Template,
    ToolActivation,
    Variable,
)
from focal_testkit.data.audit import AGENT, numbered
from focal_testkit.data.generate import fixup
from focal_testkit.data.memory import QUERY, at
from focal_testkit.scenarios import OURS

M = TypeVar("M", bound=FocalModel)

OTHER_AGENT = numbered(1, kind=40)
SCENARIO = numbered(2, kind=40)
OTHER_SCENARIO = numbered(3, kind=40)
STEP = numbered(4, kind=40)
OTHER_STEP = numbered(5, kind=40)
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
NEVER = datetime(2999, 1, 1, tzinfo=UTC)
"""Later than any clock of a test."""
NAMES = sorted(
    {"10", "9", "Bots", "Zoë's", "agent", "agent 2", "agent-2", "agent_2", "a%b", "b", "zoe", "Ä", "é", "日本"}
)
"""Names in the order of code points, which is no locale's."""

_AGENT, _RULE, _SCENARIO, _STEP, _TEMPLATE, _VARIABLE, _ACTIVATION, _PLAN = range(41, 49)


def _build(model: type[M], given: Mapping[str, Any], fields: Mapping[str, Any]) -> M:
    """Return a model; ``created_at=None`` among the fields leaves the time to the store."""
    values = {**given, **fields}
    if values.get("created_at", START) is None:
        del values["created_at"]
    return model(**values)


def _common(n: int, kind: int, tenant: UUID) -> dict[str, Any]:
    return {"id": numbered(n, kind), "tenant_id": tenant, "created_at": START + timedelta(minutes=n)}


def agent(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Agent:
    """Return agent ``n``, a minute after agent ``n - 1``."""
    return _build(Agent, {**_common(n, _AGENT, tenant), "name": f"agent {n}"}, fields)


def rule(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Rule:
    """Return rule ``n`` of the agent, a minute after rule ``n - 1``, without a vector."""
    given = {
        **_common(n, _RULE, tenant),
        "agent_id": AGENT,
        "name": f"rule {n}",
        "condition_text": f"condition {n}",
        "action_text": f"action {n}",
    }
    return _build(Rule, given, fields)


def near(n: int, cosine: float, tenant: UUID = OURS, **fields: Any) -> Rule:
    """Return rule ``n`` with a vector of model ``m`` that has this cosine with ``QUERY``."""
    return rule(n, tenant, **{"embedding": at(cosine), "embedding_model": "m", **fields})


def scenario(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Scenario:
    """Return scenario ``n`` of the agent with two steps, a minute after scenario ``n - 1``, without a vector."""
    ask, done = step(10 * n + 1), step(10 * n + 2, name="done", is_terminal=True)
    ask.transitions = [StepTransition(to_step_id=done.id, condition_text="the order number is known", priority=n)]
    given = {
        **_common(n, _SCENARIO, tenant),
        "agent_id": AGENT,
        "name": f"scenario {n}",
        "entry_condition": f"the customer wants {n}",
        "steps": [ask, done],
    }
    return _build(Scenario, given, fields)


def step(n: int = 0, **fields: Any) -> ScenarioStep:
    """Return step ``n``, of no scenario yet."""
    return ScenarioStep(**{"id": numbered(n, _STEP), "name": f"step {n}", **fields})


def template(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Template:
    """Return template ``n`` of the agent, a minute after template ``n - 1``."""
    given = {**_common(n, _TEMPLATE, tenant), "agent_id": AGENT, "name": f"template {n}", "content": f"Hello {n}"}
    return _build(Template, given, fields)


def variable(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Variable:
    """Return variable ``n`` of the agent, a minute after variable ``n - 1``."""
    return _build(Variable, {**_common(n, _VARIABLE, tenant), "agent_id": AGENT, "name": f"variable_{n}"}, fields)


def activation(n: int = 0, tenant: UUID = OURS, **fields: Any) -> ToolActivation:
    """Return the activation of tool ``n`` for the agent, a minute after that of tool ``n - 1``."""
    given = {**_common(n, _ACTIVATION, tenant), "agent_id": AGENT, "tool_id": f"tool-{n}"}
    return _build(ToolActivation, given, fields)


def plan(n: int = 0, tenant: UUID = OURS, **fields: Any) -> MigrationPlan:
    """Return a draft of plan ``n``, from version 1 of the scenario to 2, a minute after plan ``n - 1``."""
    given = {
        **_common(n, _PLAN, tenant),
        "scenario_id": SCENARIO,
        "from_version": 1,
        "to_version": 2,
        "transformation_map": {},
    }
    return _build(MigrationPlan, given, fields)


@fixup(Scoped)
def _scope_has_its_id(values: dict[str, Any], random: Random) -> None:
    if values.get("scope", Scope.GLOBAL) is Scope.GLOBAL:
        values.pop("scope_id", None)


@fixup(Rule)
def _rule_acts(values: dict[str, Any], random: Random) -> None:
    values.setdefault("action_text", "answer politely")
    if "enforcement_expression" in values:
        values["is_hard_constraint"] = True


@fixup(Variable)
def _variable_name(values: dict[str, Any], random: Random) -> None:
    values["name"] = values["name"].replace("name-", "name_")


@fixup(ScenarioStep)
def _step_leads_on(values: dict[str, Any], random: Random) -> None:
    for name in ("scenario_id", "is_entry", "is_terminal"):
        values.pop(name, None)


@fixup(Scenario)
def _steps_are_a_graph(values: dict[str, Any], random: Random) -> None:
    if "steps" not in values:
        return
    for one in values["steps"]:
        for way in one.transitions:
            way.to_step_id = values["steps"][0].id
    values["entry_step_id"] = values["steps"][1].id
    values["content_hash"] = f"{random.getrandbits(64):016x}"


@fixup(MigrationPlan)
def _plan_goes_up(values: dict[str, Any], random: Random) -> None:
    values["to_version"] = values["from_version"] + 1


__all__ = [
    "AGENT",
    "NAMES",
    "NEVER",
    "OTHER_AGENT",
    "OTHER_SCENARIO",
    "OTHER_STEP",
    "QUERY",
    "SCENARIO",
    "START",
    "STEP",
    "activation",
    "agent",
    "at",
    "near",
    "numbered",
    "plan",
    "rule",
    "scenario",
    "step",
    "template",
    "variable",
]
