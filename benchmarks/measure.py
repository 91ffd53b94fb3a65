"""What the in-memory house costs: medians, printed as a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Channel, Session
from focal_core.providers.hashing import HashingEmbeddings

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "sgd"
TENANT, AGENT = UUID(int=1), UUID(int=2)
FOCAL = str(Path(sys.executable).with_name("focal"))
OPTIONS = ["--concurrency", "64", "--json"]


def command(*arguments: str, program: str = sys.executable, times: int = 7) -> float:
    """Return the median seconds a fresh process takes."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([program, *arguments], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return median(taken)


async def repeated(call: Callable[[], Awaitable[Any]], times: int = 30) -> float:
    """Return the median seconds a call takes."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - start)
    return median(taken)


async def sessions_page() -> float:
    """Return the seconds for one page of 100 out of 10,000 sessions of one agent."""
    store = InMemorySessionStore()
    for number in range(10_000):
        await store.save(
            Session(tenant_id=TENANT, agent_id=AGENT, channel=Channel("webchat"), user_channel_id=f"user-{number}")
        )
    first = await store.list_by_agent(TENANT, AGENT, limit=100)
    return await repeated(lambda: store.list_by_agent(TENANT, AGENT, limit=100, after=first.next_cursor))


async def hashing_rate() -> float:
    """Return texts per second through HashingEmbeddings, none of them seen before."""
    texts = [f"conversation {n} is about order {n * 7} and a refund of {n % 90} dollars, please" for n in range(4000)]
    start = time.perf_counter()
    await HashingEmbeddings().embed(texts)
    return len(texts) / (time.perf_counter() - start)


async def rule_search() -> float:
    """Return the seconds of one vector search over 200 rules of 384 dimensions."""
    store, embeddings = InMemoryConfigStore(), HashingEmbeddings()
    for number in range(200):
        text = f"the customer asks about topic {number}"
        vector = tuple(await embeddings.embed_one(text, input_kind="document"))
        await store.save_rule(
            Rule(
                tenant_id=TENANT,
                agent_id=AGENT,
                name=f"rule {number}",
                condition_text=text,
                condition_embedding=vector,
                condition_embedding_model=embeddings.spec.model,
                action_text="answer",
            )
        )
    query = await embeddings.embed_one("a question about topic 77")
    return await repeated(lambda: store.vector_search_rules(query, TENANT, AGENT))


def replay_rate() -> float:
    """Return turns per second of the whole data set at concurrency 64."""
    with tempfile.TemporaryDirectory() as folder:
        converter = [sys.executable, str(ROOT / "examples" / "convert_sgd.py"), str(DATA / "dev_dialogues.jsonl.gz")]
        subprocess.run(
            [*converter, "--schema", str(DATA / "dev_schema.json"), "--out", folder], check=True, capture_output=True
        )
        done = subprocess.run(
            [FOCAL, "replay", f"{folder}/conversations.jsonl", "--agent", f"{folder}/agent.toml", *OPTIONS],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(json.loads(done.stdout)["turns_per_second"])


async def main(quick: bool) -> None:
    """Measure and print; without the replay when it is to be quick."""
    table = Table("what", "figure", "target")
    start = command("-c", "pass")
    table.add_row("import focal_core", f"{command('-c', 'import focal_core') - start:.3f} s", "0.35 s")
    table.add_row("from focal_core import Focal", f"{command('-c', 'from focal_core import Focal') - start:.3f} s", "")
    table.add_row("focal plugins list", f"{command('plugins', 'list', program=FOCAL):.3f} s", "0.5 s")
    table.add_row("page of 100 out of 10,000 sessions", f"{1000 * await sessions_page():.2f} ms", "20 ms")
    table.add_row("vector search over 200 rules", f"{1000 * await rule_search():.2f} ms", "")
    table.add_row("hashing embeddings, cold", f"{await hashing_rate():,.0f} texts/s", "5,000 texts/s")
    if quick:
        table.add_row("replay", "skipped", "300 turns/s")
    elif DATA.exists():
        table.add_row("replay, concurrency 64", f"{replay_rate():,.0f} turns/s", "300 turns/s")
    else:
        table.add_row("replay", f"skipped: {DATA.name} data set is not beside the project", "300 turns/s")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the replay")
    # `nox -s bench` hands all of them what only the others know.
    asyncio.run(main(parser.parse_known_args()[0].quick))
