"""The mutant runner: a pytest plugin that runs collected contract tests against broken stores.

``pytest tests/conformance -p focal_testkit.mutants.engine --mutants`` runs every named mutant against the requirements
it names; ``--mutate MODULE`` runs blind mutations of a module's syntax tree against all collected tests. Tests are
collected once; each mutant lives in a forked child, so nothing it breaks reaches the next one. ``--sql-mutants MODULE``
runs broken statements (``focal_testkit.mutants.sql``) one after the other, since a forked child cannot share a server's
connections.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from focal_testkit import mutants as package
from focal_testkit.mutants import MUTANTS, Mutant
from focal_testkit.mutants.operators import Site, sites
from focal_testkit.mutants.sql import SqlMutants

_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant.

    Attributes:
        name: the mutant.
        failed: ids of the requirements whose tests failed on it.
        note: why it died without a failing test (``timeout``, ``import``), or empty.
    """

    name: str
    failed: tuple[str, ...]
    note: str = ""

    @property
    def killed(self) -> bool:
        """Return whether anything noticed."""
        return bool(self.failed or self.note)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the runner."""
    group = parser.getgroup("focal mutants")
    group.addoption("--mutants", action="store_true", help="run the named mutants against the requirements they name")
    group.addoption("--mutate", action="append", default=[], metavar="MODULE", help="run blind mutations of a module")
    group.addoption("--sql-mutants", metavar="MODULE", help="run a module's broken statements of the collected ports")
    group.addoption("--mutants-report", metavar="FILE", help="write the verdicts as JSON")
    group.addoption("--mutants-jobs", type=int, default=os.cpu_count() or 1, help="children at a time")
    group.addoption("--mutants-equivalent", metavar="FILE", help="JSON list of equivalent blind mutants with reasons")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run mutants in place of the tests when asked to."""
    config = session.config
    if not any(config.getoption(option) for option in ("--mutants", "--mutate", "--sql-mutants")):
        return None
    if session.testsfailed:
        raise session.Interrupted("errors during collection")
    problems = _run_named(session) if config.getoption("--mutants") else []
    for module in config.getoption("--mutate"):
        problems += _run_blind(session, module)
    if (module := config.getoption("--sql-mutants")) is not None:
        problems += _run_sql(session, module)
    session.testsfailed = len(problems)
    for problem in problems:
        print(f"  {problem}")
    return True


def _requirement_of(item: pytest.Item) -> str | None:
    found = getattr(getattr(item, "function", None), "requirement", None)
    return None if found is None else str(found.id)


def _names_of(item: pytest.Item) -> set[str]:
    """Return what a mutant may call a test: its requirement, or one case of it, such as ``FAULT-STREAM[closed]``."""
    found = _requirement_of(item)
    return set() if found is None else {found, f"{found}[{item.name.partition('[')[2]}"}


def _run_named(session: pytest.Session) -> list[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.rsplit(".", 1)[-1] not in ("engine", "operators", "sql"):
            importlib.import_module(module.name)
    by_requirement: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        for name in _names_of(item):
            by_requirement.setdefault(name, []).append(item)
    checked = {found for item in session.items if (found := _requirement_of(item)) is not None}

    def job(mutant: Mutant) -> Callable[[], tuple[str, ...]]:
        def run() -> tuple[str, ...]:
            items = [
                item
                for wanted in mutant.kills
                for item in by_requirement.get(wanted, [])
                if hasattr(_module_of(item), mutant.replaces.__name__)
            ]
            for item in items:
                setattr(_module_of(item), mutant.replaces.__name__, mutant.store)
            return _failing(items, until=set(mutant.kills))

        return run

    # A run of one port's tests judges the mutants of that port.
    ours = [one for one in MUTANTS if any(hasattr(_module_of(item), one.replaces.__name__) for item in session.items)]
    verdicts = list(_in_children([(one.name, job(one)) for one in ours], session))
    problems = [
        f"{one.name} ({one.sentence}) is not noticed by {wanted}"
        for one, verdict in zip(ours, verdicts, strict=True)
        for wanted in one.kills
        if wanted not in verdict.failed
    ]
    covered = {wanted.partition("[")[0] for one in ours for wanted in one.kills}
    problems += [f"{wanted} has no mutant" for wanted in sorted(checked - covered)]
    killed = len(ours) - len({problem.split(" ")[0] for problem in problems if "is not noticed" in problem})
    print(f"\nnamed mutants: {killed} of {len(ours)} killed by the requirements they name; ", end="")
    print(f"requirements with a mutant: {len(covered & checked)} of {len(checked)}")
    _write_report(session, "named", verdicts)
    return problems


def _run_blind(session: pytest.Session, module_name: str) -> list[str]:
    found = importlib.import_module(module_name)
    names = [module_name]
    if hasattr(found, "__path__"):
        names += [one.name for one in pkgutil.walk_packages(found.__path__, f"{module_name}.")]
    listed: dict[str, str] = {}
    if (path := session.config.getoption("--mutants-equivalent")) is not None:
        listed = {entry["mutant"]: entry["reason"] for entry in json.loads(Path(path).read_text(encoding="utf-8"))}
    places: list[tuple[str, Site]] = []
    for name in names:
        source = Path(str(importlib.import_module(name).__file__)).read_text(encoding="utf-8")
        places += [(name, site) for site in sites(source)]
    chosen = [(name, site) for name, site in places if f"{name}:{site}" not in listed]
    items = sorted(session.items, key=lambda item: _requirement_of(item) or "")

    def job(name: str, site: Site) -> Callable[[], tuple[str, ...]]:
        def run() -> tuple[str, ...]:
            _apply(name, site, items)
            return _failing(items, until=None)

        return run

    verdicts = list(_in_children([(f"{name}:{site}", job(name, site)) for name, site in chosen], session))
    alive = [verdict for verdict in verdicts if not verdict.killed]
    share = 100.0 * (len(verdicts) - len(alive)) / max(1, len(verdicts))
    print(
        f"\nblind mutants of {module_name}: {len(verdicts) - len(alive)} of {len(verdicts)} killed ({share:.1f} %), ",
        end="",
    )
    print(f"{len(places) - len(chosen)} listed as equivalent")
    _write_report(session, module_name, verdicts)
    stale = sorted(set(listed) - {f"{name}:{site}" for name, site in places})
    return [f"survived: {verdict.name}" for verdict in alive] + [
        f"listed as equivalent but not there: {name}" for name in stale if name.startswith(f"{module_name}")
    ]


def _run_sql(session: pytest.Session, module_name: str) -> list[str]:
    module: SqlMutants = importlib.import_module(module_name)
    classes: dict[str, dict[type[Any], list[pytest.Item]]] = {}
    for item in session.items:
        if (found := getattr(item, "cls", None)) is not None and _requirement_of(item) is not None:
            classes.setdefault(found.scenarios.store_class.port, {}).setdefault(found, []).append(item)
    # Where a port has several classes the first one stands for it.
    chosen = {port: next(iter(found.items())) for port, found in classes.items()}
    ours = [one for port in chosen for one in module.MUTANTS if one.port == port]
    verdicts, problems = list[Verdict](), list[str]()
    for port, (test_class, items) in chosen.items():
        session._setupstate.teardown_exact(items[0])
        for one in (one for one in ours if one.port == port):
            began = time.monotonic()
            with module.mutated(one, test_class) as trace:
                failed = [wanted for wanted in one.kills if any(_fails(wanted, items) for _ in range(one.runs))]
            verdicts.append(Verdict(f"{port}.{one.name}", tuple(failed)))
            problems += [
                f"{one.name} ({one.sentence}) is not noticed by {wanted}"
                for wanted in one.kills
                if wanted not in failed
            ]
            if not trace.changed:
                problems.append(f"{one.name} is stale: no statement was changed")
            problems += [f"{one.name} is no SQL: {reason}" for reason in dict.fromkeys(trace.refused)]
            print(f"  {time.monotonic() - began:4.1f} s  {port}: {one.name}: {', '.join(failed) or 'NOT NOTICED'}")
    session._setupstate.teardown_exact(None)
    noticed = sum(len(verdict.failed) == len(one.kills) for one, verdict in zip(ours, verdicts, strict=True))
    print(f"broken statements: {noticed} of {len(ours)} noticed by the requirements they name")
    _write_report(session, module_name, verdicts)
    return problems


def _fails(wanted: str, items: Sequence[pytest.Item]) -> bool:
    """Run the tests of a requirement, or of one case of it, until one fails, keeping what their class has set up.

    Raises:
        RuntimeError: a test could not be set up, so that its failure would prove nothing.
    """
    for index, item in enumerate(items):
        if wanted in _names_of(item):
            for report in runtestprotocol(item, log=False, nextitem=items[index - 1]):
                if report.failed and report.when == "setup":
                    raise RuntimeError(f"{item.nodeid} cannot be set up:\n{report.longreprtext}")
                if report.failed:
                    return True
    return False


def _module_of(item: pytest.Item) -> Any:
    return item.getparent(pytest.Module).obj  # type: ignore[union-attr]


def _apply(name: str, site: Site, items: Sequence[pytest.Item]) -> None:
    """Import the in-memory modules anew, one of them mutated, and put what they define in place of the originals."""
    path = str(sys.modules[name].__file__)
    code = compile(site.apply(Path(path).read_text(encoding="utf-8")), path, "exec")
    get_code = SourceFileLoader.get_code

    def mutated(loader: SourceFileLoader, fullname: str) -> Any:
        return code if fullname == name else get_code(loader, fullname)

    SourceFileLoader.get_code = mutated  # type: ignore[method-assign, assignment]
    # Reloading in place would leave a module's subclasses with the base that its importer had before.
    anew = [
        other
        for other in sys.modules
        if other == name or (other.startswith("focal_core.") and "inmemory" in other.split(".") + other.split("_"))
    ]
    for other in anew:
        del sys.modules[other]
    for other in anew:
        importlib.import_module(other)
    for module in {_module_of(item) for item in items}:
        for attribute, value in list(vars(module).items()):
            if isinstance(value, type) and "inmemory" in value.__module__:
                setattr(module, attribute, getattr(sys.modules[value.__module__], value.__name__))


def _failing(items: Sequence[pytest.Item], until: set[str] | None) -> tuple[str, ...]:
    """Run items until one failed (``until`` None), or until each of the named requirements did."""
    failed: dict[str, None] = {}
    for index, item in enumerate(items):
        wanted = {_requirement_of(item) or item.nodeid} if until is None else (_names_of(item) & until) - set(failed)
        if not wanted:
            continue
        following = items[index + 1] if index + 1 < len(items) else None
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
            failed.update(dict.fromkeys(wanted))
            if until is None or until <= set(failed):
                break
    return tuple(failed)


def _in_children(
    jobs: Sequence[tuple[str, Callable[[], tuple[str, ...]]]], session: pytest.Session
) -> Iterator[Verdict]:
    """Run each job in a forked child, several at a time, and yield the verdicts in the order of the jobs."""
    limit, running = int(session.config.getoption("--mutants-jobs")), dict[int, tuple[int, int]]()
    done: dict[int, Verdict] = {}
    started, shown = 0, time.monotonic()
    while len(done) < len(jobs):
        while started < len(jobs) and len(running) < limit:
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(read)
                _child(jobs[started][1], write)
            os.close(write)
            running[child] = (started, read)
            started += 1
        child, status = os.wait()
        index, read = running.pop(child)
        with os.fdopen(read, "rb") as pipe:
            answer = pipe.read()
        name = jobs[index][0]
        if os.WIFSIGNALED(status):
            done[index] = Verdict(name, (), "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "crash")
        else:
            done[index] = Verdict(name, *json.loads(answer))
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            print(f"  {len(done)} of {len(jobs)} mutants", flush=True)
    for index in range(len(jobs)):
        yield done[index]


def _child(run: Callable[[], tuple[str, ...]], write: int) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    signal.alarm(_TIMEOUT_SECONDS)
    try:
        answer: list[Any] = [list(run()), ""]
    except BaseException as error:  # a mutant may break the import itself; the child must report, whatever it was
        answer = [[], f"import: {type(error).__name__}"]
    os.write(write, json.dumps(answer).encode())
    os._exit(0)


def _write_report(session: pytest.Session, what: str, verdicts: Sequence[Verdict]) -> None:
    path = session.config.getoption("--mutants-report")
    if path is None:
        return
    target = Path(path)
    report = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    report[what] = {verdict.name: [*verdict.failed, verdict.note] for verdict in verdicts}
    target.write_text(json.dumps(report, indent=1, sort_keys=True), encoding="utf-8")
