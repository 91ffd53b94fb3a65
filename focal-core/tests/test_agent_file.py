"""The agent file: what it becomes, what is wrong with it, and loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from focal_core.app import Focal
from focal_core.config.models import Scope
from focal_core.demo.agent_file import AgentDefinition, read_agent_file
from focal_core.demo.load import load_agent
from focal_core.errors import SettingsError
from focal_core.profile.models import RequiredLevel

TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")
OTHER_TENANT = UUID("018f0000-0000-7000-8000-0000000000b2")
IN_MEMORY = {"stores": {"default": "inmemory"}, "providers": {"embedding": "hashing"}}

COMPLETE = """
[agent]
name = "helper"
settings = { temperature = 0.5 }

[[fields]]
name = "email"
value_type = "email"

[[variables]]
name = "language"
default_value = "en"

[[templates]]
name = "ask"
content = "Which address?"

[[templates]]
name = "done"
content = "Done."
scenario = "sign up"
step = "finish"

[[rules]]
name = "wants in"
condition = "The user wants to sign up"
action = "Start it."
templates = ["ask"]

[[rules]]
name = "no mail"
condition = "The user has no address"
action = "Stop."
scenario = "sign up"

[[scenarios]]
name = "sign up"
entry_condition = "The user wants to sign up"
entry_step = "ask"

[[scenarios.steps]]
name = "finish"
is_terminal = true

[[scenarios.steps]]
name = "ask"
collects = ["email"]
rules = ["no mail"]
templates = ["ask"]
tools = ["mail.check"]
transitions = [{ to = "finish", condition = "The address is known.", priority = 3 }]

[[scenarios.requirements]]
field = "email"
step = "ask"
level = "soft"
fallback = "skip"
order = 7
"""


def read(folder: Path, text: str, tenant_id: UUID = TENANT) -> AgentDefinition:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return read_agent_file(path, tenant_id)


def test_names_become_the_ids_of_what_they_name(tmp_path: Path) -> None:
    """Rules, templates, steps, transitions and requirements refer to each other by name in the file, by id after."""
    agent = read(tmp_path, COMPLETE)

    scenario = agent.scenarios[0]
    finish, ask = scenario.steps
    assert scenario.entry_step_id == ask.id
    assert ask.transitions[0].to_step_id == finish.id
    assert ask.transitions[0].priority == 3
    assert ask.rule_ids == [agent.rules[1].id]
    assert ask.template_ids == agent.rules[0].attached_template_ids == [agent.templates[0].id]
    assert (ask.collects_profile_fields, ask.tool_ids) == (["email"], ["mail.check"])
    assert (agent.rules[0].scope, agent.rules[0].scope_id) == (Scope.GLOBAL, None)
    assert (agent.rules[1].scope, agent.rules[1].scope_id) == (Scope.SCENARIO, scenario.id)
    assert (agent.templates[1].scope, agent.templates[1].scope_id) == (Scope.STEP, finish.id)
    requirement = agent.requirements[0]
    assert (requirement.scenario_id, requirement.step_id) == (scenario.id, ask.id)
    assert (requirement.required_level, requirement.collection_order) == (RequiredLevel.SOFT, 7)
    assert agent.agent.settings.temperature == 0.5
    assert agent.variables[0].default_value == "en"
    assert agent.step_ids["sign up", "ask"] == ask.id


def test_ids_depend_on_tenant_and_names_only(tmp_path: Path) -> None:
    """The same file gives the same ids at every reading, and other ids for another tenant or agent."""
    first, again = read(tmp_path, COMPLETE), read(tmp_path, COMPLETE.replace("Start it.", "Begin."))
    assert [rule.id for rule in first.rules] == [rule.id for rule in again.rules]
    assert first.step_ids == again.step_ids
    foreign = read(tmp_path, COMPLETE, OTHER_TENANT)
    renamed = read(tmp_path, COMPLETE.replace('"helper"', '"other"'))
    assert len({one.rules[0].id for one in (first, foreign, renamed)}) == 3


AGENT = '[agent]\nname = "helper"\n'
SCENARIO = AGENT + '[[scenarios]]\nname = "sign up"\n[[scenarios.steps]]\nname = "ask"\n'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param("agent = ", ["not a TOML file"], "docs/agent-file.md", id="no-toml"),
        pytest.param("", ["[agent] is missing"], "name =", id="no-agent"),
        pytest.param("[agent]\n", ["[agent]", "'name' is missing"], "name =", id="no-name"),
        pytest.param("[agent]\nname = 3\n", ["[agent]", "'name' is missing"], "name =", id="name-is-a-number"),
        pytest.param(AGENT + "[[rule]]\n", ["unknown section 'rule'"], "'rules'", id="unknown-section"),
        pytest.param(AGENT + "colour = 1\n", ["[agent] 'helper'", "unknown key 'colour'"], "known:", id="unknown-key"),
        pytest.param(AGENT + "[rules]\n", ["[[rules]]", "not an array"], "[[rules]]", id="table-for-array"),
        pytest.param(AGENT + "rules = [1]\n", ["[agent] 'helper'", "unknown key 'rules'"], "known:", id="in-agent"),
        pytest.param("rules = [1]\n" + AGENT, ["[[rules]]", "is not a table"], "one key a line", id="no-table"),
        pytest.param(
            AGENT + '[[rules]]\nname = "r"\ncondition = "c"\naction = "a"\npriority = 101\n',
            ["[[rules]] 'r'", "priority: Input should be less than or equal to 100"],
            "docs/agent-file.md",
            id="value-out-of-range",
        ),
        pytest.param(
            AGENT + '[[rules]]\nname = "r"\naction = "a"\n',
            ["[[rules]] 'r'", "condition: Field required"],
            "docs/agent-file.md",
            id="key-of-the-file-not-of-the-model",
        ),
        pytest.param(
            AGENT + '[[rules]]\nname = "r"\ncondition = "c"\ncondition_text = "d"\n',
            ["unknown key 'condition_text'"],
            "'condition'",
            id="field-of-the-model",
        ),
        pytest.param(
            AGENT + '[[templates]]\nname = "t"\ncontent = "c"\n' * 2,
            ["[[templates]] 't'", "second one"],
            "own name",
            id="name-twice",
        ),
        pytest.param(
            AGENT + '[[templates]]\nname = "t"\ncontent = "c"\nstep = "ask"\n',
            ["'step' is given without 'scenario'"],
            "scenario =",
            id="step-without-scenario",
        ),
        pytest.param(
            SCENARIO + '[[templates]]\nname = "t"\ncontent = "c"\nscenario = "sign in"\n',
            ["[[templates]] 't'", "'sign in', which does not exist"],
            "did you mean 'sign up'?",
            id="unknown-scenario",
        ),
        pytest.param(
            SCENARIO + 'templates = "t"\n', ["step", "'templates' must be a list"], '["name"', id="text-for-list"
        ),
        pytest.param(
            SCENARIO + 'templates = ["t"]\n', ["template 't', which does not exist"], "none is defined", id="template"
        ),
        pytest.param(SCENARIO + 'rules = ["r"]\n', ["rule 'r', which does not exist"], "none is defined", id="rule"),
        pytest.param(SCENARIO + 'collects = ["mail"]\n', ["field 'mail'"], "none is defined", id="collected-field"),
        pytest.param(
            SCENARIO + '[[scenarios.requirements]]\nfield = "mail"\n',
            ["[[scenarios.requirements]] 'mail' of scenario 'sign up'", "does not exist"],
            "none is defined",
            id="required-field",
        ),
        pytest.param(
            SCENARIO.replace('name = "sign up"', 'name = "sign up"\nentry_step = "ak"'),
            ["[[scenarios]] 'sign up'", "'entry_step' names the step 'ak'"],
            "did you mean 'ask'?",
            id="entry-step",
        ),
        pytest.param(
            SCENARIO + 'is_terminal = true\ntransitions = [{ to = "ask", condition = "c" }]\n',
            ["[[scenarios.steps]] 'ask' of scenario 'sign up'", "terminal step has no transitions"],
            "docs/agent-file.md",
            id="terminal-with-a-way-out",
        ),
        pytest.param(
            SCENARIO + "is_checkpoint = true\n", ["'ask'", "checkpoint_description"], "docs/", id="checkpoint"
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_its_remedy(
    tmp_path: Path, text: str, message: list[str], hint: str
) -> None:
    """An error names file, section and item, says what is wrong there, and its hint says what would do."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "agent_file"
    assert str(tmp_path / "agent.toml") in caught.value.message
    for part in message:
        assert part in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_transition_to_a_missing_step_names_everything_needed_to_mend_it(tmp_path: Path) -> None:
    """A dangling transition names file, scenario, step, the missing target, the nearest step and the known ones."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, COMPLETE.replace('to = "finish"', 'to = "finnish"'))
    for part in ("agent.toml", "of step 'ask' of scenario 'sign up'", "'to' names the step 'finnish'"):
        assert part in caught.value.message
    assert caught.value.hint == "did you mean 'finish'? known: 'ask', 'finish'"


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    """A file that cannot be read is focal's error, not Python's."""
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot read") as caught:
        read_agent_file(tmp_path / "nowhere.toml", TENANT)
    assert caught.value.hint


async def rows(focal: Focal, agent: AgentDefinition) -> list[Any]:
    stores = focal.tenant(TENANT)
    return [
        await stores.config.get_agent(agent.agent.id),
        await stores.config.get_rules(agent.agent.id),
        await stores.config.get_scenarios(agent.agent.id),
        await stores.config.get_templates(agent.agent.id),
        await stores.config.get_variables(agent.agent.id),
        await stores.profiles.get_field_definitions(agent.agent.id),
        await stores.profiles.get_scenario_requirements(agent.scenarios[0].id, step_id=agent.scenarios[0].steps[1].id),
    ]


@pytest.mark.asyncio
async def test_loading_twice_writes_once(tmp_path: Path) -> None:
    """The first load saves every item, the second none: versions and times stay, and nothing is embedded again."""
    agent = read(tmp_path, COMPLETE)
    async with Focal.open(IN_MEMORY) as focal:
        first = await load_agent(agent, focal.tenant(TENANT), focal.embedding)
        stored = await rows(focal, agent)
        again = await load_agent(read(tmp_path, COMPLETE), focal.tenant(TENANT), focal.embedding)
        assert await rows(focal, agent) == stored
    assert first.saved == {
        "agents": 1,
        "fields": 1,
        "variables": 1,
        "templates": 2,
        "scenarios": 1,
        "rules": 2,
        "requirements": 1,
    }
    assert (again.saved, again.unchanged) == ({}, first.saved)
    assert (first.embedded, again.embedded) == (2, 0)


@pytest.mark.asyncio
async def test_conditions_are_stored_with_their_vectors(tmp_path: Path) -> None:
    """Rules and scenarios can be found by the vector of a message as soon as the agent is loaded."""
    agent = read(tmp_path, COMPLETE)
    async with Focal.open(IN_MEMORY) as focal:
        await load_agent(agent, focal.tenant(TENANT), focal.embedding)
        query = await focal.embedding.embed_one("The user wants to sign up")
        config = focal.tenant(TENANT).config
        rules = await config.vector_search_rules(query, agent.agent.id)
        scenarios = await config.vector_search_scenarios(query, agent.agent.id)
    assert rules[0][0].name == "wants in"
    assert rules[0][1] == pytest.approx(1.0)
    assert scenarios[0][0].name == "sign up"
    assert scenarios[0][1] == pytest.approx(1.0)


@pytest.mark.asyncio
async def test_a_changed_item_is_saved_alone_and_embedded_anew(tmp_path: Path) -> None:
    """Only the rule whose condition changed is written and embedded; its neighbours keep their versions."""
    agent = read(tmp_path, COMPLETE)
    changed = read(tmp_path, COMPLETE.replace("The user has no address", "There is no address"))
    async with Focal.open(IN_MEMORY) as focal:
        stores = focal.tenant(TENANT)
        await load_agent(agent, stores, focal.embedding)
        before = await stores.config.get_rule(agent.rules[1].id)
        summary = await load_agent(changed, stores, focal.embedding)
        after = await stores.config.get_rule(agent.rules[1].id)
    assert summary.saved == {"rules": 1}
    assert summary.embedded == 1
    assert before is not None
    assert after is not None
    assert before.condition_embedding != after.condition_embedding
    assert after.row_version == before.row_version + 1
