"""Convert the Action-Based Conversations Dataset to an agent file and a conversation log.

    python examples/convert_abcd.py guidelines.json sample.json --out build/abcd

Which file is which is seen from its shape. The subflows of the guidelines become scenarios, their actions steps, what
the agent is told to do rules, and what it is told to say templates. The customer's lines up to the agent's answer are
one turn; actions taken in it become tool calls, and personal or order data typed into them become profile fields.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _files import identifier, output_folder, read_json, stop, write_agent, write_lines

Json = dict[str, Any]

FIELDS: dict[str, Json] = {
    "customer_name": {"is_pii": True, "collection_prompt": "May I have your full name?"},
    "account_id": {"is_pii": True, "collection_prompt": "What is your account ID?"},
    "username": {"is_pii": True, "collection_prompt": "What is your username?"},
    "email": {"is_pii": True, "value_type": "email", "collection_prompt": "What is your e-mail address?"},
    "phone": {"is_pii": True, "value_type": "phone", "collection_prompt": "What is your phone number?"},
    "member_level": {"collection_prompt": "What is your membership level?"},
    "order_id": {"collection_prompt": "What is the order ID?"},
    "zip_code": {"is_pii": True, "collection_prompt": "What is your zip code?"},
    "street_address": {"is_pii": True, "collection_prompt": "What is your street address?"},
    "full_address": {"is_pii": True, "collection_prompt": "What is your full address?"},
    "payment_method": {"collection_prompt": "How did you pay?"},
}
"""The facts of a customer or an order that are kept as profile fields."""

NEEDS: dict[str, tuple[str, ...]] = {
    "Pull up Account": ("customer_name",),
    "Verify Identity": ("customer_name", "zip_code"),
    "Validate Purchase": ("username", "email", "order_id"),
    "Membership Privileges": ("member_level",),
}
"""What a step cannot do without, by the button it presses."""


def convert_guidelines(flows: Json) -> Json:
    """Return the agent of the guidelines: a scenario for each subflow of each flow."""
    agent: Json = {
        "agent": {"name": "abcd-support", "description": "Customer service of an online shop for clothes (ABCD)."},
        "fields": [{"name": name, **definition} for name, definition in FIELDS.items()],
        "templates": [],
        "rules": [],
        "scenarios": [],
    }
    for flow, content in flows.items():
        for subflow, guideline in content["subflows"].items():
            name = scenario_name(flow, subflow)
            instructions = " ".join(guideline["instructions"])
            steps = list(_numbered_steps(guideline["actions"]))
            agent["rules"].append(
                {
                    "name": name,
                    "condition": f"{subflow}: {content['description']}",
                    "action": instructions or f"Start {name}.",
                }
            )
            for step, action in steps:
                _add_step_texts(agent, name, step, action)
            agent["scenarios"].append(
                {
                    "name": name,
                    "description": instructions or None,
                    "entry_condition": f"{subflow}: {content['description']}",
                    "tags": [flow],
                    "steps": _steps(steps),
                    "requirements": [
                        {"step": step, "field": field, "level": "hard", "order": order}
                        for step, action in steps
                        for order, field in enumerate(NEEDS.get(action["button"], ()))
                    ],
                }
            )
    return agent


def scenario_name(flow: str, subflow: str) -> str:
    """Return the scenario of a subflow."""
    return f"{flow} / {subflow}"


def _numbered_steps(actions: list[Json]) -> Iterator[tuple[str, Json]]:
    seen: dict[str, int] = {}
    for action in actions:
        name = "Respond" if action["button"] == "N/A" else action["button"]
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} {seen[name]}"), action


def _steps(steps: list[tuple[str, Json]]) -> list[Json]:
    following = [name for name, _ in steps[1:]]
    converted = []
    for index, (name, action) in enumerate(steps):
        last = index == len(steps) - 1
        acts = action["type"] != "communication"
        converted.append(
            {
                "name": name,
                "description": action["text"],
                "collects": list(NEEDS.get(action["button"], ())),
                "tools": [identifier(action["button"])] if acts else [],
                "performs_action": acts,
                "is_terminal": last,
                "transitions": [] if last else [{"to": following[index], "condition": f"{name} is done."}],
            }
        )
    return converted


def _add_step_texts(agent: Json, scenario: str, step: str, action: Json) -> None:
    place = {"scenario": scenario, "step": step}
    text = "\n".join([action["text"], *action["subtext"]])
    if action["type"] == "communication":
        agent["templates"].append({"name": f"{scenario}: {step}", "content": text, **place})
    elif action["subtext"]:
        agent["rules"].append(
            {
                "name": f"{scenario}: {step}",
                "condition": action["text"],
                "action": "\n".join(action["subtext"]),
                "tools": [identifier(action["button"])],
                **place,
            }
        )


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def find_scenario(flow: str, subflow: str, guidelines: Json) -> str | None:
    """Return the scenario a conversation names by its own codes, such as "product_defect" and "return_size".

    The codes are not the guidelines' titles; within a flow the title that shares most words with the code is meant,
    and among those the shortest.
    """
    for title, content in guidelines.items():
        if identifier(title) == identifier(flow):
            shared = {name: len(_words(name) & _words(subflow)) for name in content["subflows"]}
            best = max(shared, key=lambda name: (shared[name], -len(_words(name))))
            return scenario_name(title, best) if shared[best] else None
    return None


def convert_conversation(record: Json, guidelines: Json) -> Json:
    """Return a conversation of the data set.

    Args:
        record: with ``convo_id``, ``scenario``, ``original`` and ``delexed``.
        guidelines: flows and subflows; without them the turns name no scenario.

    Raises:
        KeyError, TypeError, ValueError: the record is no conversation of this data set.
    """
    scenario = find_scenario(record["scenario"]["flow"], record["scenario"]["subflow"], guidelines)
    flow, _, subflow = (scenario or "").partition(" / ")
    steps = dict(_numbered_steps(guidelines[flow]["subflows"][subflow]["actions"])) if scenario else {}
    by_tool = {identifier(name): name for name in steps}
    facts = _facts(record["scenario"])
    turns: list[Json] = []
    for (speaker, text), annotated in zip(record["original"], record["delexed"], strict=True):
        if not turns or (speaker == "customer" and ("assistant" in turns[-1] or "tools" in turns[-1])):
            turns.append({"scenario": scenario} if scenario and not turns else {})
        turn = turns[-1]
        if speaker == "action":
            _, _, tool, values, _ = annotated["targets"]
            turn.setdefault("tools", []).append({"tool": identifier(tool), "input": {"values": values}, "output": text})
            if step := by_tool.get(identifier(tool)):
                turn["step"] = step
            found = {facts[value.lower()]: value for value in values if value.lower() in facts}
            if found:
                turn.setdefault("fields", {}).update(found)
        else:
            key = "user" if speaker == "customer" else "assistant"
            turn[key] = f"{turn[key]}\n{text}" if key in turn else text
    return {
        "conversation_id": f"abcd-{record['convo_id']}",
        "channel": "webchat",
        "user": f"abcd-{record['convo_id']}",
        "turns": [{"user": "", **turn} for turn in turns],
    }


def _facts(scenario: Json) -> dict[str, str]:
    known = {**scenario.get("order", {}), **scenario.get("personal", {})}
    return {str(value).lower(): name for name, value in known.items() if name in FIELDS}


def _is_flow(content: Any) -> bool:
    return isinstance(content, dict) and "subflows" in content


def sort_inputs(paths: list[Path]) -> tuple[Json, list[Json]]:
    """Return the guidelines and the conversations found in files; others are named and left out."""
    guidelines: Json = {}
    conversations: list[Json] = []
    for path in paths:
        content = read_json(path)
        if isinstance(content, dict) and all(map(_is_flow, content.values())):
            guidelines.update(content)
            continue
        # The whole data set is one object with a list for each split.
        parts = list(content.values()) if isinstance(content, dict) else [content]
        records = [record for part in parts if isinstance(part, list) for record in part]
        if records and all(isinstance(record, dict) and "convo_id" in record for record in records):
            conversations.extend(records)
        else:
            print(f"{path}: neither guidelines nor conversations, left out")
    if not guidelines:
        stop("no guidelines among the inputs; give guidelines.json")
    return guidelines, conversations


def main() -> None:
    """Run the conversion."""
    parser = argparse.ArgumentParser(description="Convert ABCD to agent.toml and conversations.jsonl")
    parser.add_argument("input", nargs="+", type=Path, help="guidelines.json and conversations, gzipped or not")
    parser.add_argument("--out", required=True, type=Path, help="folder for agent.toml and conversations.jsonl")
    arguments = parser.parse_args()
    guidelines, records = sort_inputs(arguments.input)
    try:
        agent = convert_guidelines(guidelines)
        conversations = [convert_conversation(record, guidelines) for record in records]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        stop(f"the inputs are not those of ABCD ({type(error).__name__}: {error})")
    out = output_folder(arguments.out)
    write_agent(out / "agent.toml", agent, "From the guidelines of ABCD by convert_abcd.py")
    count = write_lines(out / "conversations.jsonl", conversations)
    print(f"{len(agent['scenarios'])} scenarios, {len(agent['rules'])} rules, {count} conversations in {out}")


if __name__ == "__main__":
    main()
