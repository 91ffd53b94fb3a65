"""What providers may cost, as far as it is the same on every machine; ``benchmarks/providers.py`` measures the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from focal_providers.anthropic.llm import MessagesWire
from focal_providers.llm import Wire
from focal_providers.openai.wires import ChatWire, ResponsesWire
from focal_testkit.faults.wire_dialect import Answer, Call, WireDialect
from focal_testkit.faults.wire_dialects import DIALECTS

CORE = "import focal_core.providers.llm, focal_core.plugins.backend, focal_core.settings"
HEAVY = {"anthropic", "openai", "httpx", "httpx2", "httpcore", "httpcore2", "anyio", "jiter", "aiohttp", "numpy"}
WIRES: dict[str, Wire] = {
    "anthropic": MessagesWire(),
    "openai-responses": ResponsesWire(),
    "openai-chat": ChatWire("max_completion_tokens"),
}


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement loads in a fresh interpreter that has loaded core."""
    told = "print(json.dumps(sorted(set(sys.modules) - before)))"
    code = f"import json, sys\n{CORE}\nbefore = set(sys.modules)\n{statement}\n{told}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import focal_providers",
        "import focal_providers.anthropic.backend",
        "import focal_providers.openai.backend",
        "from focal_providers import AnthropicProvider, OpenAIEmbeddings, OpenAIProvider",
    ],
)
def test_an_import_loads_no_sdk(statement: str) -> None:
    """Neither SDK, nor what they stand on: whoever lists plugins, or asks one vendor, does not wait for the other."""
    loaded = loaded_by(statement)

    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert "focal_providers" in loaded


def test_the_package_itself_is_next_to_nothing() -> None:
    """Its names are found when they are asked for."""
    assert {name for name in loaded_by("import focal_providers") if name.startswith("focal_")} == {"focal_providers"}


@pytest.mark.parametrize("used", ["anthropic", "openai"])
def test_opening_one_backend_loads_one_sdk(used: str) -> None:
    """The other vendor's costs a second and forty megabytes more."""
    provider = {"anthropic": "anthropic.llm.AnthropicProvider", "openai": "openai.llm.OpenAIProvider"}[used]
    module, _, name = f"focal_providers.{provider}".rpartition(".")
    loaded = loaded_by(
        f"import asyncio\nfrom {module} import {name}\n"
        f"async def main():\n    async with {name}.connect(model='m', api_key='k'):\n        pass\n"
        "asyncio.run(main())"
    )

    assert {name.split(".")[0] for name in loaded} & {"anthropic", "openai"} == {used}


def calls(wire: Wire, dialect: WireDialect, deltas: int) -> Counter[str]:
    """Return how often each function is called while a tool call that comes in so many pieces is read."""
    arguments = json.dumps({"where": "x" * (deltas * 9 - 13)})
    answer = Answer(text="", calls=(Call("c", "dig", arguments),), finish="tool_calls")
    events = [json.loads(json.dumps(event.data)) for event in dialect.events(answer) if event.data != "[DONE]"]
    seen: Counter[str] = Counter()

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event in ("call", "c_call"):
            seen[frame.f_code.co_qualname if event == "call" else called.__qualname__] += 1

    accumulated = wire.accumulated()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for event in events:
            for _ in accumulated.take(event):
                pass
        read = wire.read(accumulated.body())
    finally:
        sys.setprofile(before)
    assert read.parts[0].raw_arguments == arguments
    return seen


@pytest.mark.parametrize("name", WIRES)
def test_provider_s7_tool_json_is_read_in_linear_time(name: str) -> None:
    """4,000 pieces are put together and parsed as often as 200: each is read once, and none of them anew."""
    few, many = (calls(WIRES[name], DIALECTS[name], deltas) for deltas in (200, 4_000))

    assert few["str.join"] > 0
    assert {called for called, times in many.items() if times > 25 * few[called]} == set()
    whole = {called for called in many if called.rpartition(".")[2] in {"join", "loads", "raw_decode", "from_json"}}
    assert {called: many[called] for called in whole} == {called: few[called] for called in whole}
