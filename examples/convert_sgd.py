"""Convert Schema-Guided Dialogue to an agent file and a conversation log.

    python examples/convert_sgd.py dev_dialogues.jsonl.gz --schema dev_schema.json --out build/sgd

Services and intents become scenarios with a rule each, slots become field definitions and requirements, and the slot
values of the dialogue state become profile fields of the turn in which they first appear. A dialogue is one
conversation; a USER utterance and the SYSTEM utterance behind it are one turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _files import identifier, output_folder, read_json, read_records, stop, write_agent, write_lines

Json = dict[str, Any]

ANY_VALUE = "dontcare"
"""What a user without a preference says of a slot."""


def scenario_name(service: str, intent: str) -> str:
    """Return the scenario of an intent."""
    return f"{service}.{intent}"


def field_name(service: str, slot: str) -> str:
    """Return the profile field of a slot; services have slots of one name with different meanings."""
    return identifier(f"{service}_{slot}")


def convert_schema(services: list[Json]) -> Json:
    """Return the agent of a schema file: a scenario and a rule for each intent, a field for each slot."""
    return {
        "agent": {
            "name": "sgd-assistant",
            "description": "Helps with bookings, searches and everyday services (Schema-Guided Dialogue).",
        },
        "fields": [_field(service, slot) for service in services for slot in service["slots"]],
        "rules": [_rule(service, intent) for service in services for intent in service["intents"]],
        "scenarios": [_scenario(service, intent) for service in services for intent in service["intents"]],
    }


def _field(service: Json, slot: Json) -> Json:
    values = slot["possible_values"] if slot["is_categorical"] else []
    return {
        "name": field_name(service["service_name"], slot["name"]),
        "display_name": slot["name"].replace("_", " "),
        "description": slot["description"],
        "value_type": "string",
        "allowed_values": [*values, ANY_VALUE] if values else None,
        "validation_mode": "warn" if values else None,
    }


def _rule(service: Json, intent: Json) -> Json:
    slots = ", ".join(slot.replace("_", " ") for slot in intent["required_slots"])
    name = scenario_name(service["service_name"], intent["name"])
    return {
        "name": name,
        "condition": intent["description"],
        "action": f"Start {name}" + (f" and ask for: {slots}." if slots else "."),
    }


def _scenario(service: Json, intent: Json) -> Json:
    required, optional = intent["required_slots"], sorted(intent["optional_slots"])
    names = {slot: field_name(service["service_name"], slot) for slot in (*required, *optional)}
    steps = [
        {
            "name": "collect",
            "description": "Ask for what is missing.",
            "collects": list(names.values()),
            "transitions": [{"to": "fulfil", "condition": "Everything required is known."}],
        },
        {
            "name": "fulfil",
            "description": "Call the service and tell the result.",
            "performs_action": True,
            "tools": [intent["name"]],
            "transitions": [{"to": "collect", "condition": "The user changes a wish or asks for something else."}],
        },
    ]
    if intent["is_transactional"]:
        steps[0]["transitions"][0]["to"] = "confirm"
        steps.insert(
            1,
            {
                "name": "confirm",
                "description": "Repeat what was understood and wait for a yes.",
                "is_checkpoint": True,
                "checkpoint_description": "The user has confirmed the transaction.",
                "transitions": [
                    {"to": "fulfil", "condition": "The user agrees."},
                    {"to": "collect", "condition": "The user corrects something."},
                ],
            },
        )
    requirements = [{"field": names[slot], "level": "hard", "order": order} for order, slot in enumerate(required)] + [
        {"field": names[slot], "level": "soft", "fallback": "skip", "order": order}
        for order, slot in enumerate(optional, len(required))
    ]
    return {
        "name": scenario_name(service["service_name"], intent["name"]),
        "description": f"{service['description']}: {intent['description']}",
        "entry_condition": intent["description"],
        "tags": [service["service_name"]],
        "steps": steps,
        "requirements": requirements,
    }


def convert_dialogue(dialogue: Json, scenarios: dict[str, set[str]]) -> Json:
    """Return a dialogue as a conversation.

    Args:
        dialogue: a record of the data set.
        scenarios: names of the agent's scenarios, each with the names of its steps.

    Raises:
        KeyError, TypeError, ValueError: the record is no dialogue of this data set.
    """
    utterances = dialogue["turns"]
    speakers = [utterance["speaker"] for utterance in utterances]
    if speakers != ["USER", "SYSTEM"] * (len(utterances) // 2) or not utterances:
        raise ValueError("USER and SYSTEM do not alternate")
    known: dict[str, str] = {}
    active: str | None = None
    turns = []
    for user, system in zip(utterances[::2], utterances[1::2], strict=True):
        fresh: dict[str, str] = {}
        for frame in user["frames"]:
            for slot, values in frame["state"]["slot_values"].items():
                name = field_name(frame["service"], slot)
                # The values of one list are different words for the same.
                if known.get(name) not in values:
                    known[name] = fresh[name] = values[0]
        turn: Json = {"user": user["utterance"], "assistant": system["utterance"]}
        scenario = _active_scenario(user["frames"], active)
        if scenario is not None and scenario not in scenarios:
            raise ValueError(f"{scenario} is not in the schema")
        if scenario != active:
            turn["scenario"] = active = scenario
        if active is not None:
            step, calls = _progress(system["frames"], active)
            if step in scenarios[active]:
                turn["step"] = step
            if calls:
                turn["tools"] = calls
        if fresh:
            turn["fields"] = fresh
        turns.append(turn)
    return {
        "conversation_id": dialogue["dialogue_id"],
        "channel": "webchat",
        "user": f"sgd-{dialogue['dialogue_id']}",
        "turns": turns,
    }


def _active_scenario(frames: list[Json], active: str | None) -> str | None:
    found = [
        scenario_name(frame["service"], frame["state"]["active_intent"])
        for frame in frames
        if frame["state"]["active_intent"] != "NONE"
    ]
    # With two services in one utterance, the one that is new is what the user turns to.
    return next((name for name in found if name != active), found[-1] if found else None)


def _progress(frames: list[Json], active: str) -> tuple[str | None, list[Json]]:
    step, calls = None, []
    for frame in frames:
        acts = {action["act"] for action in frame["actions"]}
        call = frame.get("service_call")
        if call is not None:
            calls.append({"tool": call["method"], "input": call["parameters"], "output": frame["service_results"]})
        if not active.startswith(f"{frame['service']}."):
            continue
        if "CONFIRM" in acts:
            step = "confirm"
        elif call is not None and active.endswith(f".{call['method']}"):
            step = "fulfil"
        elif "REQUEST" in acts:
            step = "collect"
    return step, calls


def _dialogues(paths: list[Path], scenarios: dict[str, set[str]]) -> Iterator[Json]:
    for path in paths:
        number = 0
        for number, record in enumerate(read_records(path), 1):
            try:
                yield convert_dialogue(record, scenarios)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                stop(f"{path}, record {number}: not of Schema-Guided Dialogue ({type(error).__name__}: {error})")
        if not number:
            stop(f"{path} holds no dialogue")


def main() -> None:
    """Run the conversion."""
    parser = argparse.ArgumentParser(description="Convert Schema-Guided Dialogue to agent.toml and conversations.jsonl")
    parser.add_argument("input", nargs="+", type=Path, help="dialogues as JSON lines or JSON, gzipped or not")
    parser.add_argument("--schema", required=True, type=Path, help="schema file of the split")
    parser.add_argument("--out", required=True, type=Path, help="folder for agent.toml and conversations.jsonl")
    arguments = parser.parse_args()
    schema = read_json(arguments.schema)
    try:
        agent = convert_schema(schema)
    except (KeyError, TypeError) as error:
        stop(f"{arguments.schema} is no schema of Schema-Guided Dialogue ({type(error).__name__}: {error})")
    out = output_folder(arguments.out)
    scenarios = {scenario["name"]: {step["name"] for step in scenario["steps"]} for scenario in agent["scenarios"]}
    write_agent(out / "agent.toml", agent, f"From {arguments.schema.name} by convert_sgd.py")
    count = write_lines(out / "conversations.jsonl", _dialogues(arguments.input, scenarios))
    print(f"{len(scenarios)} scenarios, {len(agent['fields'])} fields, {count} conversations in {out}")


if __name__ == "__main__":
    main()
