"""What a replay did and what it cost: counts, problems, operations and time per store."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from time import perf_counter
from typing import Any

from focal_core.errors import FocalError
from focal_core.usage import TokenUsage

MAX_PROBLEMS = 1000
"""Problems kept with their text; further ones are counted only."""


@dataclass
class Cost:
    """Calls and the time spent waiting for them.

    Attributes:
        operations: calls.
        seconds: sum over the calls, which overlap when conversations run concurrently.
    """

    operations: int = 0
    seconds: float = 0.0


class Meter:
    """Counts and times the calls that go through the objects it wraps."""

    def __init__(self) -> None:
        self.costs: defaultdict[str, defaultdict[str, Cost]] = defaultdict(lambda: defaultdict(Cost))
        """Name of the wrapped object -> name of the method -> its cost."""

    def wrap(self, name: str, target: Any) -> Any:
        """Return an object with the coroutine methods of the target, measured; other attributes pass through."""
        return _Measured(self.costs[name], target)

    def totals(self) -> dict[str, Cost]:
        """Return the cost of each wrapped object that was used, in the order of wrapping."""
        return {
            name: Cost(sum(one.operations for one in costs.values()), sum(one.seconds for one in costs.values()))
            for name, costs in self.costs.items()
            if costs
        }


class _Measured:
    def __init__(self, costs: defaultdict[str, Cost], target: Any) -> None:
        self._costs = costs
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        costs = self._costs

        async def call(*args: Any, **kwargs: Any) -> Any:
            start = perf_counter()
            try:
                return await found(*args, **kwargs)
            finally:
                cost = costs[name]
                cost.operations += 1
                cost.seconds += perf_counter() - start

        self.__dict__[name] = call
        return call


@dataclass(frozen=True)
class Problem:
    """Something in the log that could not be replayed.

    Attributes:
        line: number of the line.
        error: why; its message names the turn and the field where it is about one.
    """

    line: int
    error: FocalError


@dataclass
class ReplayReport:
    """What a replay did. Counts are of what was new: a repeated replay has zeros and ``skipped``.

    Attributes:
        sessions, turns, episodes: stored by this replay.
        rules_matched: matches over all new turns.
        fields_collected: profile fields written.
        fields_unchanged: profile fields that had the value already.
        skipped: turns that were stored before.
        errors: problems, also those beyond ``MAX_PROBLEMS``.
        seconds: wall-clock time, loading of the agent included.
        collected, missing: per scenario, how many conversations gave each field, and how many left a required one open.
        usage: tokens of the model that answered; None where the log did.
        cost: what they cost in USD; None where a price is not known.
        problems: the first ones.
        meter: operations and time per store.
    """

    sessions: int = 0
    turns: int = 0
    episodes: int = 0
    rules_matched: int = 0
    fields_collected: int = 0
    fields_unchanged: int = 0
    skipped: int = 0
    errors: int = 0
    seconds: float = 0.0
    collected: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    missing: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    usage: TokenUsage | None = None
    cost: Decimal | None = None
    problems: list[Problem] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)

    @property
    def turns_per_second(self) -> float:
        """New turns per second of wall-clock time."""
        return self.turns / self.seconds if self.seconds else 0.0

    def add_answer(self, usage: TokenUsage, cost: Decimal | None) -> None:
        """Count what an answer cost; where one is of unknown cost, so is the sum."""
        if self.usage is None:
            self.usage, self.cost = usage, cost
        else:
            self.usage += usage
            self.cost = None if self.cost is None or cost is None else self.cost + cost

    def add_problem(self, line: int, error: FocalError) -> None:
        """Count a problem, and keep it while there are few."""
        self.errors += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line, error))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for ``--json``."""
        return {
            "sessions": self.sessions,
            "turns": self.turns,
            "episodes": self.episodes,
            "rules_matched": self.rules_matched,
            "fields_collected": self.fields_collected,
            "fields_unchanged": self.fields_unchanged,
            "skipped": self.skipped,
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "turns_per_second": round(self.turns_per_second, 1),
            "scenarios": {
                name: {"collected": dict(self.collected[name]), "missing": dict(self.missing[name])}
                for name in sorted({*self.collected, *self.missing})
            },
            "stores": {
                name: {"operations": cost.operations, "seconds": round(cost.seconds, 3)}
                for name, cost in self.meter.totals().items()
            },
            **({} if self.usage is None else {"llm": {**spent(self.usage), "cost_usd": _text(self.cost)}}),
            "problems": [
                {"line": one.line, "code": one.error.code, "message": str(one.error)} for one in self.problems
            ],
        }


def spent(usage: TokenUsage) -> dict[str, int]:
    """Return the tokens of a usage as plain data."""
    return {
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def _text(cost: Decimal | None) -> str | None:
    return None if cost is None else str(cost)
