"""The replay: conversations of a log run through every store, several at a time, each in its own order.

A replay may be repeated and interrupted: ids depend on tenant, agent, conversation and turn only, and the session,
saved last, counts the turns that are complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from focal_core.app import Focal
from focal_core.demo.agent_file import AgentDefinition, stable_id, suggest
from focal_core.demo.answer import Answers
from focal_core.demo.conversations import Conversation, Line
from focal_core.demo.exchange import Exchange, Place, Stores
from focal_core.demo.load import load_agent
from focal_core.demo.report import ReplayReport
from focal_core.demo.turn import Turns
from focal_core.errors import ConflictError, InvalidDataError


@dataclass(frozen=True)
class ReplayOptions:
    """How to replay.

    Attributes:
        concurrency: conversations at a time.
        strict: stop at the first problem instead of reporting it and going on.
        min_score: cosine from which a rule matches a message and an earlier one is recalled; what is right depends on
            the embedding model.
        rule_limit: rules matched in one scope at most.
        memory_limit: episodes recalled for one turn at most.
        llm: the configured model answers the customers, and not the log.
    """

    concurrency: int = 16
    strict: bool = False
    min_score: float = 0.3
    rule_limit: int = 5
    memory_limit: int = 3
    llm: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise InvalidDataError(
                f"concurrency must be at least 1, not {self.concurrency}", code="concurrency_invalid"
            )


@dataclass(frozen=True)
class _Job:
    line: int
    conversation: Conversation
    earlier: list[asyncio.Event]
    """Set when the earlier conversations of the same customer are done."""
    done: asyncio.Event
    customers: list[Any]
    """How the customer is known: on the channel, and beyond it."""


async def replay(
    focal: Focal,
    agent: AgentDefinition,
    lines: Iterable[Line],
    options: ReplayOptions | None = None,
    observe: Callable[[ReplayReport], None] | None = None,
) -> ReplayReport:
    """Load an agent, run conversations through the stores of its tenant, and return what was done.

    Conversations run concurrently, those of one customer one after the other in the order of the log; the turns of a
    conversation keep their order. Lines are taken from the iterable as workers become free.

    Args:
        focal: open, with all five stores and an embedding provider; with ``options.llm`` a language model too.
        agent: from ``read_agent_file``.
        lines: such as a ``ConversationFile``.
        options: the defaults when None.
        observe: called with the report so far after every conversation.

    Raises:
        InvalidDataError, ConflictError: with ``strict``, the first problem.
        FocalError: something that concerns more than one conversation, such as an outage or a refused key. What is
            stored stays; the same replay again goes on from there.
    """
    runner = _Replay(focal, agent, options or ReplayOptions(), observe)
    start = perf_counter()
    try:
        await load_agent(agent, runner.stores, runner.stores.embedding)
        await runner.run(lines)
    finally:
        runner.report.seconds = perf_counter() - start
    return runner.report


class _Replay:
    def __init__(
        self,
        focal: Focal,
        agent: AgentDefinition,
        options: ReplayOptions,
        observe: Callable[[ReplayReport], None] | None,
    ) -> None:
        self.agent = agent
        self.tenant_id = agent.agent.tenant_id
        self.options = options
        self.observe = observe
        self.report = ReplayReport()
        tenant, meter = focal.tenant(self.tenant_id), self.report.meter
        self.stores = Stores(
            config=meter.wrap("config", tenant.config),
            memory=meter.wrap("memory", tenant.memory),
            sessions=meter.wrap("sessions", tenant.sessions),
            audit=meter.wrap("audit", tenant.audit),
            profiles=meter.wrap("profiles", tenant.profiles),
            embedding=meter.wrap("embedding", focal.embedding),
        )
        self.steps: dict[str, set[str]] = {name: set() for name in agent.scenario_ids}
        for scenario, step in agent.step_ids:
            self.steps[scenario].add(step)
        self.last_of: dict[Any, asyncio.Event] = {}
        self.turns = Turns(
            agent,
            self.stores,
            self.report,
            focal.context.clock,
            min_score=options.min_score,
            rule_limit=options.rule_limit,
            memory_limit=options.memory_limit,
            answers=Answers(agent, meter.wrap("llm", focal.llm), self.stores, self.report) if options.llm else None,
        )

    async def run(self, lines: Iterable[Line]) -> None:
        jobs, failure = self.jobs(lines), None
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self.options.concurrency):
                    workers.create_task(self.work(jobs))
        except BaseExceptionGroup as failed:
            # The other workers were cancelled because of the first failure, which is what callers look for.
            failure = failed.exceptions[0]
        if failure is not None:
            raise failure

    def jobs(self, lines: Iterable[Line]) -> Iterator[_Job]:
        for line in lines:
            if line.conversation is None:
                if line.error is not None:
                    self.problem(line.number, line.error)
                continue
            one = line.conversation
            customers = [key for key in ((one.channel, one.user), one.customer) if key is not None]
            done = asyncio.Event()
            earlier = [self.last_of[key] for key in customers if key in self.last_of]
            self.last_of.update(dict.fromkeys(customers, done))
            yield _Job(line.number, one, earlier, done, customers)

    async def work(self, jobs: Iterator[_Job]) -> None:
        for job in jobs:
            for earlier in job.earlier:
                await earlier.wait()
            try:
                await self.conversation(job.line, job.conversation)
            except (InvalidDataError, ConflictError) as error:
                self.problem(job.line, error)
            finally:
                job.done.set()
                for key in job.customers:
                    if self.last_of[key] is job.done:
                        del self.last_of[key]
            if self.observe is not None:
                self.observe(self.report)

    async def conversation(self, line: int, conversation: Conversation) -> None:
        places = list(self.places(conversation))
        session_id = self.id("session", conversation.conversation_id)
        session = await self.stores.sessions.get(session_id)
        complete = 0 if session is None else min(session.turn_count, len(places))
        self.report.skipped += complete
        missing: dict[str, list[str]] = {}
        # A turn may have been interrupted between its stores, and its session may have expired since.
        resuming = True
        for number in range(complete, len(places)):
            if number > complete:
                session = await self.stores.sessions.get(session_id)
            turn_id = self.id("turn", conversation.conversation_id, number)
            known = await self.stores.audit.get_turn(turn_id) if resuming else None
            resuming = known is not None
            exchange = Exchange(conversation, number, places[number], turn_id, session_id, known)
            await self.turns.run(exchange, session)
            for refused in exchange.refused:
                self.problem(line, self.wrong(number, refused.message, refused.hint))
            if exchange.place.scenario is not None:
                missing[exchange.place.scenario.name] = exchange.missing
            # In-memory stores never wait; without this one conversation would keep all others from running.
            await asyncio.sleep(0)
        for scenario, fields in missing.items():
            self.report.missing[scenario].update(fields)

    def places(self, conversation: Conversation) -> Iterator[Place]:
        """Yield where each turn stands in the agent's scenarios; a name that is not there is the log's fault."""
        scenario: str | None = None
        step: str | None = None
        for number, turn in enumerate(conversation.turns):
            if "scenario" in turn.model_fields_set and turn.scenario != scenario:
                scenario, step = turn.scenario, None
                if scenario is not None:
                    self.check(scenario, self.steps, number, "scenario")
            if turn.step is not None:
                if scenario is None:
                    raise self.wrong(number, f"step {turn.step!r} is given outside a scenario", "add a scenario")
                self.check(turn.step, self.steps[scenario], number, f"step of scenario {scenario!r}")
                step = turn.step
            yield self.turns.place(scenario, step)

    def check(self, name: str, known: Iterable[str], number: int, what: str) -> None:
        if name not in known:
            raise self.wrong(number, f"{name!r} is no {what} of the agent", suggest(name, known))

    @staticmethod
    def wrong(number: int, reason: str, hint: str | None) -> InvalidDataError:
        return InvalidDataError(f"turns[{number}]: {reason}", hint=hint, code="conversation_invalid")

    def problem(self, line: int, error: InvalidDataError | ConflictError) -> None:
        if self.options.strict:
            raise error
        self.report.add_problem(line, error)

    def id(self, kind: str, *names: str | int) -> UUID:
        return stable_id(self.tenant_id, self.agent.agent.name, kind, *names)
