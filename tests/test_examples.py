"""The converters in examples/, on the data sets beside the project and on small files of their shapes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from focal_core.app import Focal
from focal_core.demo.agent_file import read_agent_file
from focal_core.demo.conversations import ConversationFile
from focal_core.demo.replay import ReplayOptions, replay

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")
IN_MEMORY = {"stores": {"default": "inmemory"}, "providers": {"embedding": "hashing"}}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not beside the project (../shared/data)")


def convert(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / f"convert_{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})


def conversations(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "conversations.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="module")
def sgd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole SGD dev set, converted."""
    out = tmp_path_factory.mktemp("sgd")
    source = DATA / "sgd"
    done = convert("sgd", source / "dev_dialogues.jsonl.gz", "--schema", source / "dev_schema.json", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@needs_data
def test_sgd_becomes_scenarios_fields_and_conversations(sgd: Path) -> None:
    """Every intent is a scenario with a rule, every slot a field, every dialogue a conversation."""
    schema = json.loads((DATA / "sgd" / "dev_schema.json").read_text())
    agent = read_agent_file(sgd / "agent.toml", TENANT)
    intents = [(service["service_name"], intent) for service in schema for intent in service["intents"]]
    assert len(agent.scenarios) == len(agent.rules) == len(intents) == 30
    assert len(agent.fields) == sum(len(service["slots"]) for service in schema)
    for service, intent in intents:
        scenario_id = agent.scenario_ids[f"{service}.{intent['name']}"]
        found = [one for one in agent.requirements if one.scenario_id == scenario_id]
        assert [one.required_level.value for one in found].count("hard") == len(intent["required_slots"])
        assert len(found) == len(intent["required_slots"]) + len(intent["optional_slots"])
    converted = conversations(sgd)
    assert len(converted) == 2098
    assert sum(len(one["turns"]) for one in converted) == 19_384


@needs_data
@pytest.mark.asyncio
async def test_a_slice_of_sgd_fills_profiles(sgd: Path) -> None:
    """After the first hundred dialogues the first customer's profile holds the slot values of the last state."""
    agent = read_agent_file(sgd / "agent.toml", TENANT)
    log = [line for line in ConversationFile(sgd / "conversations.jsonl") if line.number <= 100]
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log)
        stores = focal.tenant(TENANT)
        profile = await stores.profiles.get_by_channel_identity("webchat", "sgd-1_00000")
    assert (report.sessions, report.errors) == (100, 0)
    assert profile is not None
    values = {name: one.value for name, one in profile.fields.items()}
    assert values == {
        "restaurants_2_number_of_seats": "2",
        "restaurants_2_time": "half past 11 in the morning",
        "restaurants_2_location": "San Jose",
        "restaurants_2_restaurant_name": "Sino",
        "restaurants_2_date": "today",
    }


@needs_data
@pytest.mark.asyncio
async def test_the_whole_of_sgd_replays_once(sgd: Path) -> None:
    """2,098 sessions and 19,384 turns without an error; a second replay of the file has nothing new."""
    agent, log = read_agent_file(sgd / "agent.toml", TENANT), ConversationFile(sgd / "conversations.jsonl")
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, log, ReplayOptions(concurrency=64))
        again = await replay(focal, agent, log, ReplayOptions(concurrency=64))
    assert [str(problem.error) for problem in report.problems] == []
    assert (report.sessions, report.turns, report.episodes, report.errors) == (2098, 19_384, 19_384, 0)
    assert (report.skipped, report.fields_collected > 10_000) == (0, True)
    assert (again.sessions, again.turns, again.episodes, again.fields_collected, again.errors) == (0, 0, 0, 0, 0)
    assert again.skipped == 19_384


@needs_data
@pytest.mark.asyncio
async def test_abcd_becomes_scenarios_steps_rules_and_templates(tmp_path: Path) -> None:
    """55 subflows are 55 scenarios with their 255 actions as steps; the sample conversations replay."""
    source = DATA / "abcd"
    done = convert("abcd", source / "guidelines.json", source / "sample.json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    agent = read_agent_file(tmp_path / "agent.toml", TENANT)
    assert len(agent.scenarios) == 55
    assert sum(len(scenario.steps) for scenario in agent.scenarios) == 255
    assert len(agent.rules) > 200
    assert len(agent.templates) == 29
    async with Focal.open(IN_MEMORY) as focal:
        report = await replay(focal, agent, ConversationFile(tmp_path / "conversations.jsonl"))
        profiles = focal.tenant(TENANT).profiles
        customer = await profiles.get_by_channel_identity("webchat", "abcd-3592")
    assert (report.sessions, report.errors) == (3, 0)
    assert customer is not None
    assert {name: one.value for name, one in customer.fields.items()} == {
        "customer_name": "crystal minh",
        "username": "cminh730",
        "email": "cminh730@email.com",
        "order_id": "3348917502",
        "phone": "(977) 625-2661",
    }


@needs_data
def test_every_subflow_code_of_abcd_means_one_guideline() -> None:
    """The 55 codes that conversations use lead to the 55 titles of the guidelines, one each."""
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import convert_abcd as abcd;"
        "guidelines = json.load(open(sys.argv[2] + '/guidelines.json'));"
        "codes = json.load(open(sys.argv[2] + '/ontology.json'))['intents']['subflows'];"
        "found = [abcd.find_scenario(flow, code, guidelines) for flow in codes for code in codes[flow]];"
        "print(len(found), len(set(found) - {None}))"
    )
    command = [sys.executable, "-c", script, str(ROOT / "examples"), str(DATA / "abcd")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["55", "55"]


SERVICE = {
    "service_name": "Taxi_1",
    "description": "Rides",
    "slots": [
        {"name": "to", "description": 'Where "to"?\n\x7f', "is_categorical": False, "possible_values": []},
        {"name": "seats", "description": "Seats", "is_categorical": True, "possible_values": ["1", "2"]},
    ],
    "intents": [
        {
            "name": "Ride",
            "description": "Book a ride",
            "is_transactional": True,
            "required_slots": ["to"],
            "optional_slots": {"seats": "1"},
        }
    ],
}


def dialogue(**values: list[str]) -> dict[str, Any]:
    state = {"active_intent": "Ride", "requested_slots": [], "slot_values": values}
    user = {"speaker": "USER", "utterance": "a ride", "frames": [{"service": "Taxi_1", "actions": [], "state": state}]}
    system = {
        "speaker": "SYSTEM",
        "utterance": "ok",
        "frames": [{"service": "Taxi_1", "actions": [{"act": "CONFIRM"}]}],
    }
    return {"dialogue_id": "1_0", "services": ["Taxi_1"], "turns": [user, system]}


@pytest.mark.parametrize("form", ["lines", "array", "packed"])
def test_sgd_input_may_be_lines_an_array_or_packed(tmp_path: Path, form: str) -> None:
    """Whatever the form of the input, the result is the same; texts survive TOML whatever they hold."""
    text = json.dumps([dialogue(to=["York"])]) if form == "array" else json.dumps(dialogue(to=["York"])) + "\n"
    data = gzip.compress(text.encode()) if form == "packed" else text.encode()
    (tmp_path / "dialogues").write_bytes(data)
    (tmp_path / "schema.json").write_text(json.dumps([SERVICE]))
    done = convert("sgd", tmp_path / "dialogues", "--schema", tmp_path / "schema.json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (converted,) = conversations(tmp_path / "out")
    assert converted["turns"] == [
        {
            "user": "a ride",
            "assistant": "ok",
            "scenario": "Taxi_1.Ride",
            "step": "confirm",
            "fields": {"taxi_1_to": "York"},
        }
    ]
    fields = tomllib.loads((tmp_path / "out" / "agent.toml").read_text(encoding="utf-8"))["fields"]
    assert fields[0]["description"] == 'Where "to"?\n\x7f'
    assert fields[1]["allowed_values"] == ["1", "2", "dontcare"]
    read_agent_file(tmp_path / "out" / "agent.toml", TENANT)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        pytest.param("sgd", ["nowhere", "--schema", "schema", "--out", "out"], "cannot read", id="sgd-no-dialogues"),
        pytest.param("sgd", ["good", "--schema", "nowhere", "--out", "out"], "cannot read", id="sgd-no-schema"),
        pytest.param("sgd", ["good", "--schema", "good", "--out", "out"], "is no schema", id="sgd-other-schema"),
        pytest.param("sgd", ["other", "--schema", "schema", "--out", "out"], "record 1: not of", id="sgd-other-file"),
        pytest.param("sgd", ["text", "--schema", "schema", "--out", "out"], "line 1", id="sgd-no-json"),
        pytest.param("abcd", ["nowhere", "--out", "out"], "cannot read", id="abcd-no-file"),
        pytest.param("abcd", ["other", "--out", "out"], "no guidelines", id="abcd-other-file"),
        pytest.param("abcd", ["flows", "--out", "out"], "not those of ABCD", id="abcd-broken"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path: Path, name: str, arguments: list[str], message: str) -> None:
    """A missing or foreign file ends the program with one line that names it, no traceback, exit code 2."""
    (tmp_path / "good").write_text(json.dumps(dialogue(to=["York"])))
    (tmp_path / "schema").write_text(json.dumps([SERVICE]))
    (tmp_path / "other").write_text(json.dumps({"a": 1}))
    (tmp_path / "text").write_text("hello")
    (tmp_path / "flows").write_text(json.dumps({"F": {"subflows": {"S": {"actions": [1]}}}}))
    paths = [argument if argument.startswith("--") else str(tmp_path / argument) for argument in arguments]
    done = convert(name, *paths)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
