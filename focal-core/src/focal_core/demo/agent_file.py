"""The agent file: one TOML document with everything an agent is configured by, referring to each other by name.

``read_agent_file`` turns it into models whose ids depend on tenant, agent and names only, so that loading a file again
meets the same rows; ``load_agent`` saves what differs from the store. The format is described in docs/agent-file.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid5

from pydantic import ValidationError

from focal_core.base import FocalModel
from focal_core.config.models import Agent, Rule, Scenario, ScenarioStep, Scope, StepTransition, Template, Variable
from focal_core.errors import SettingsError
from focal_core.profile.models import ProfileFieldDefinition, ScenarioFieldRequirement
from focal_core.values import canonical_json

M = TypeVar("M", bound=FocalModel)

_GIVEN_BY_FOCAL = {"id", "tenant_id", "agent_id", "created_at", "updated_at", "deleted_at", "row_version"}


def stable_id(tenant_id: UUID, agent_name: str, kind: str, *names: str | int) -> UUID:
    """Return the id of a thing that is known by its name within an agent; the same at every call."""
    return uuid5(tenant_id, canonical_json([agent_name, kind, *names]).decode("ascii"))


@dataclass(frozen=True)
class AgentDefinition:
    """An agent file as models, none of them saved or embedded yet.

    Attributes:
        source: the file, for messages.
        agent: the agent itself.
        fields, variables, templates, rules, scenarios, requirements: its parts, in the order of the file.
        scenario_ids: scenario name -> id.
        step_ids: (scenario name, step name) -> id.
    """

    source: str
    agent: Agent
    fields: list[ProfileFieldDefinition]
    variables: list[Variable]
    templates: list[Template]
    rules: list[Rule]
    scenarios: list[Scenario]
    requirements: list[ScenarioFieldRequirement]
    scenario_ids: Mapping[str, UUID]
    step_ids: Mapping[tuple[str, str], UUID]


@dataclass(frozen=True)
class _Section:
    """How the tables of one section become a model.

    Attributes:
        title: header in the file.
        model: what a table becomes.
        renamed: key in the file -> field of the model, where they differ.
        references: keys that hold names of other things and are resolved apart.
        hidden: fields of the model that the file cannot set.
    """

    title: str
    model: type[FocalModel]
    renamed: Mapping[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    def keys(self) -> set[str]:
        fields = set(self.model.model_fields) - _GIVEN_BY_FOCAL - self.hidden - set(self.renamed.values())
        return fields | set(self.renamed) | self.references


_SCOPED = frozenset({"scenario", "step"})
_AGENT = _Section("[agent]", Agent, hidden=frozenset({"current_version"}))
_FIELDS = _Section("[[fields]]", ProfileFieldDefinition)
_VARIABLES = _Section("[[variables]]", Variable)
_TEMPLATES = _Section("[[templates]]", Template, references=_SCOPED, hidden=frozenset({"scope", "scope_id"}))
_RULES = _Section(
    "[[rules]]",
    Rule,
    renamed={"condition": "condition_text", "action": "action_text", "tools": "attached_tool_ids"},
    references=_SCOPED | {"templates"},
    hidden=frozenset(
        {"scope", "scope_id", "condition_embedding", "condition_embedding_model", "attached_template_ids"}
    ),
)
_SCENARIOS = _Section(
    "[[scenarios]]",
    Scenario,
    references=frozenset({"steps", "requirements", "entry_step"}),
    hidden=frozenset({"entry_embedding", "entry_embedding_model", "entry_step_id", "content_hash"}),
)
_STEPS = _Section(
    "[[scenarios.steps]]",
    ScenarioStep,
    renamed={"tools": "tool_ids", "collects": "collects_profile_fields"},
    references=frozenset({"transitions", "templates", "rules"}),
    hidden=frozenset({"scenario_id", "template_ids", "rule_ids", "is_entry"}),
)
_TRANSITIONS = _Section(
    "[[scenarios.steps.transitions]]",
    StepTransition,
    renamed={"condition": "condition_text"},
    references=frozenset({"to"}),
    hidden=frozenset({"to_step_id", "condition_embedding", "condition_embedding_model"}),
)
_REQUIREMENTS = _Section(
    "[[scenarios.requirements]]",
    ScenarioFieldRequirement,
    renamed={
        "field": "field_name",
        "level": "required_level",
        "fallback": "fallback_action",
        "when": "when_condition",
        "depends_on": "depends_on_fields",
        "order": "collection_order",
        "confidence": "extraction_confidence",
    },
    references=frozenset({"step", "rule"}),
    hidden=frozenset({"scenario_id", "step_id", "rule_id"}),
)
_TOP = {"agent", "fields", "variables", "templates", "rules", "scenarios"}


def suggest(wanted: str, known: Iterable[str]) -> str:
    """Return the hint for a name that does not exist: the nearest known one, then what is known at all."""
    names = sorted(set(known))
    if not names:
        return "none is defined"
    near = "".join(f"did you mean {name!r}? " for name in get_close_matches(wanted, names, n=1))
    return f"{near}known: {', '.join(map(repr, names[:20]))}{', ...' if len(names) > 20 else ''}"


@dataclass(frozen=True)
class _Item:
    """One table of the file, with the place that errors name."""

    source: str
    section: _Section
    table: Mapping[str, Any]
    place: str

    def error(self, problem: str, hint: str) -> SettingsError:
        return SettingsError(
            f"{self.source}: {self.place}: {problem}",
            hint=hint,
            code="agent_file",
            details={"file": self.source, "section": self.section.title, "item": self.place},
        )

    def names(self, key: str, known: Collection[str], what: str) -> list[str]:
        """Return the names a key holds, each of which must be known."""
        found = self.table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self.error(f"{key!r} must be a list of names", f'write {key} = ["name", ...]')
        for name in found:
            self.known(name, known, what, key)
        return found

    def name(self, key: str, known: Collection[str], what: str) -> str | None:
        """Return the one name a key holds, or None when the key is absent."""
        found = self.table.get(key)
        if found is not None and not isinstance(found, str):
            raise self.error(f"{key!r} must be a name", f'write {key} = "name"')
        if found is not None:
            self.known(found, known, what, key)
        return found

    def known(self, name: str, known: Collection[str], what: str, key: str) -> None:
        if name not in known:
            raise self.error(f"{key!r} names the {what} {name!r}, which does not exist", suggest(name, known))

    def build(self, model: type[M], **given: Any) -> M:
        """Return the model of this table.

        Args:
            model: its class.
            given: what the table does not say itself: ids and resolved references.
        """
        own = {
            self.section.renamed.get(key, key): value
            for key, value in self.table.items()
            if key not in self.section.references
        }
        try:
            return model(**{**own, **given})
        except ValidationError as refused:
            as_written = {field: key for key, field in self.section.renamed.items()}
            reasons = []
            for reason in refused.errors(include_url=False, include_context=False, include_input=False):
                path = [as_written.get(str(part), str(part)) for part in reason["loc"]]
                reasons.append(": ".join([".".join(path), reason["msg"]] if path else [reason["msg"]]))
            raise self.error("; ".join(reasons), "correct the value; docs/agent-file.md lists every key") from None


class _Reader:
    """Builds the definition of one document."""

    def __init__(self, source: str, document: Mapping[str, Any], tenant_id: UUID) -> None:
        self.source = source
        self.document = document
        self.tenant_id = tenant_id
        top = _Item(source, _AGENT, document, "top level")
        for key in document:
            if key not in _TOP:
                raise top.error(f"unknown section {key!r}", suggest(key, _TOP))
        agent = document.get("agent")
        if not isinstance(agent, dict):
            raise top.error("the section [agent] is missing", 'begin the file with [agent] and name = "..."')
        item = self.item(_AGENT, agent)
        self.agent_name: str = agent["name"]
        self.agent = item.build(Agent, id=self.id("agent"), tenant_id=tenant_id)

    def id(self, kind: str, *names: str) -> UUID:
        return stable_id(self.tenant_id, self.agent_name, kind, *names)

    def item(self, section: _Section, table: Any, within: str = "", key: str = "name") -> _Item:
        """Return a table as an item, once its keys are known ones and its name is there."""
        if not isinstance(table, dict):
            raise _Item(self.source, section, {}, f"{section.title}{within}").error(
                "is not a table", f"write it as {section.title} with one key a line"
            )
        name = table.get(key)
        item = _Item(
            self.source, section, table, f"{section.title} {name!r}{within}" if name else section.title + within
        )
        keys = section.keys()
        for written in table:
            if written not in keys:
                raise item.error(f"unknown key {written!r}", suggest(written, keys))
        if not isinstance(name, str) or not name:
            raise item.error(f"{key!r} is missing", f'add {key} = "..."')
        return item

    def items(self, section: _Section, tables: Any, within: str = "", key: str = "name") -> list[_Item]:
        """Return the tables of an array; names must differ."""
        if not isinstance(tables, list):
            raise _Item(self.source, section, {}, section.title + within).error(
                "is not an array of tables", f"write each item under its own {section.title}"
            )
        return [self.item(section, table, within, key) for table in tables]

    def unique(self, section: _Section, tables: Any, within: str = "") -> dict[str, _Item]:
        """Return the tables of an array by name."""
        found: dict[str, _Item] = {}
        for item in self.items(section, tables, within):
            if item.table["name"] in found:
                raise item.error("a second one has this name", "give each its own name")
            found[item.table["name"]] = item
        return found

    def read(self) -> AgentDefinition:
        part = {name: self.document.get(name, []) for name in _TOP}
        fields = self.unique(_FIELDS, part["fields"])
        self.templates = self.unique(_TEMPLATES, part["templates"])
        self.rules = self.unique(_RULES, part["rules"])
        self.scenarios = self.unique(_SCENARIOS, part["scenarios"])
        self.fields = set(fields)
        self.steps = {
            name: self.unique(_STEPS, item.table.get("steps", []), f" of scenario {name!r}")
            for name, item in self.scenarios.items()
        }
        return AgentDefinition(
            source=self.source,
            agent=self.agent,
            fields=[self.build(item, ProfileFieldDefinition, "field") for item in fields.values()],
            variables=[
                self.build(item, Variable, "variable") for item in self.unique(_VARIABLES, part["variables"]).values()
            ],
            templates=[self.build(item, Template, "template", **self.scope(item)) for item in self.templates.values()],
            rules=[self.rule(item) for item in self.rules.values()],
            scenarios=[self.scenario(name, item) for name, item in self.scenarios.items()],
            requirements=[
                requirement for name, item in self.scenarios.items() for requirement in self.requirements(name, item)
            ],
            scenario_ids={name: self.id("scenario", name) for name in self.scenarios},
            step_ids={
                (name, step): self.id("step", name, step) for name, steps in self.steps.items() for step in steps
            },
        )

    def build(self, item: _Item, model: type[M], kind: str, **given: Any) -> M:
        id = self.id(kind, item.table["name"])
        return item.build(model, id=id, tenant_id=self.tenant_id, agent_id=self.agent.id, **given)

    def scope(self, item: _Item) -> dict[str, Any]:
        scenario = item.name("scenario", self.scenarios, "scenario")
        if scenario is None:
            if "step" in item.table:
                raise item.error("'step' is given without 'scenario'", 'add scenario = "..."')
            return {}
        step = item.name("step", self.steps[scenario], f"step of scenario {scenario!r}")
        if step is None:
            return {"scope": Scope.SCENARIO, "scope_id": self.id("scenario", scenario)}
        return {"scope": Scope.STEP, "scope_id": self.id("step", scenario, step)}

    def rule(self, item: _Item) -> Rule:
        templates = [self.id("template", name) for name in item.names("templates", self.templates, "template")]
        return self.build(item, Rule, "rule", attached_template_ids=templates, **self.scope(item))

    def scenario(self, name: str, item: _Item) -> Scenario:
        entry = item.name("entry_step", self.steps[name], "step")
        return self.build(
            item,
            Scenario,
            "scenario",
            steps=[self.step(name, step) for step in self.steps[name].values()],
            entry_step_id=None if entry is None else self.id("step", name, entry),
        )

    def step(self, scenario: str, item: _Item) -> ScenarioStep:
        item.names("collects", self.fields, "field")
        within = f" of step {item.table['name']!r} of scenario {scenario!r}"
        transitions = []
        for transition in self.items(_TRANSITIONS, item.table.get("transitions", []), within, key="to"):
            target = transition.table["to"]
            transition.known(target, self.steps[scenario], "step", "to")
            transitions.append(transition.build(StepTransition, to_step_id=self.id("step", scenario, target)))
        return item.build(
            ScenarioStep,
            id=self.id("step", scenario, item.table["name"]),
            transitions=transitions,
            template_ids=[self.id("template", name) for name in item.names("templates", self.templates, "template")],
            rule_ids=[self.id("rule", name) for name in item.names("rules", self.rules, "rule")],
        )

    def requirements(self, scenario: str, parent: _Item) -> list[ScenarioFieldRequirement]:
        found: dict[UUID, ScenarioFieldRequirement] = {}
        within = f" of scenario {scenario!r}"
        for item in self.items(_REQUIREMENTS, parent.table.get("requirements", []), within, key="field"):
            name = item.table["field"]
            item.known(name, self.fields, "field", "field")
            item.names("depends_on", self.fields, "field")
            step = item.name("step", self.steps[scenario], "step")
            rule = item.name("rule", self.rules, "rule")
            id = self.id("requirement", scenario, step or "", rule or "", name)
            if id in found:
                raise item.error("is required twice", "keep one requirement for each field, step and rule")
            found[id] = item.build(
                ScenarioFieldRequirement,
                id=id,
                tenant_id=self.tenant_id,
                agent_id=self.agent.id,
                scenario_id=self.id("scenario", scenario),
                step_id=None if step is None else self.id("step", scenario, step),
                rule_id=None if rule is None else self.id("rule", rule),
            )
        return list(found.values())


def read_agent_file(path: Path | str, tenant_id: UUID) -> AgentDefinition:
    """Return the agent that a file describes, checked as a whole.

    Args:
        path: the file.
        tenant_id: the tenant that will own the agent; part of every id.

    Raises:
        SettingsError: the file is missing, no TOML, or anything in it is wrong (code ``agent_file``). The message
            names the file, the section, the item and the key; the hint says what would do.
    """
    source = str(path)
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"{source}: cannot read the agent file: {error.strerror}",
            hint="give the path of a TOML file with an [agent] section",
            code="agent_file",
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{source}: not a TOML file: {error}", hint="see docs/agent-file.md for an example", code="agent_file"
        ) from None
    return _Reader(source, document, tenant_id).read()
