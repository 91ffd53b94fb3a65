"""Backends by name: list without importing, load the one that is asked for, explain what is missing or broken."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from focal_core.errors import ConfigurationError, PluginConflictError, PluginLoadError, PluginNotFoundError
from focal_core.plugins.discovery import BACKENDS, Registration, installed_version, normalised, registrations

if TYPE_CHECKING:
    from focal_core.plugins.backend import Backend

KNOWN_DISTRIBUTIONS: Mapping[str, str] = {
    "postgres": "focal-postgres",
    "redis": "focal-redis",
    "anthropic": "focal-providers",
    "openai": "focal-providers",
}
"""Backends that exist but need not be installed, and what brings them."""


def installed() -> tuple[Registration, ...]:
    """Return every registered backend by name, then distribution, without importing any."""
    return registrations(BACKENDS)


def find(name: str, *, also: Collection[str] = ()) -> Registration:
    """Return the one registration a name means, without importing it.

    Args:
        name: a backend name, or ``name@distribution``.
        also: further names that would have been right where this one was written, offered as a correction.

    Raises:
        PluginNotFoundError: nothing installed registers it.
        PluginConflictError: several distributions register it and none is named.
    """
    plain, _, distribution = name.partition("@")
    candidates = [one for one in installed() if one.name == plain]
    chosen = [one for one in candidates if not distribution or one.distribution == normalised(distribution)]
    if len(chosen) == 1:
        return chosen[0]
    if len(chosen) > 1:
        raise PluginConflictError(
            f"backend {plain!r} is claimed by {' and '.join(one.origin for one in chosen)}",
            hint="write " + " or ".join(f'use = "{one.qualified}"' for one in chosen),
        )
    if candidates:
        raise PluginNotFoundError(
            f"{distribution} registers no backend named {plain!r}",
            hint="write " + " or ".join(f'"{one.qualified}"' for one in candidates),
        )
    names = sorted({one.name for one in installed()})
    raise PluginNotFoundError(
        f"no backend named {plain!r}; installed: {', '.join(names) or 'none'}", hint=_remedy(plain, names, also)
    )


def _remedy(name: str, names: Collection[str], also: Collection[str]) -> str:
    if name in KNOWN_DISTRIBUTIONS:
        return _provide(name)
    close = get_close_matches(name, [*also, *names, *KNOWN_DISTRIBUTIONS], n=1)
    if not close:
        return "install the distribution that registers it, or name one of the installed ones"
    if close[0] in names or close[0] in also:
        return f"did you mean {close[0]!r}?"
    return f"did you mean {close[0]!r}? {_provide(close[0])}"


def _provide(name: str) -> str:
    distribution = KNOWN_DISTRIBUTIONS[name]
    version = installed_version(distribution)
    if version is None:
        return f"pip install {distribution}"
    return f"{distribution} {version} is installed but does not register it: pip install --upgrade {distribution}"


def load(name: str, *, also: Collection[str] = ()) -> type[Backend]:
    """Return the checked backend class a name means; only its own module is imported.

    Raises:
        PluginNotFoundError: nothing installed registers it.
        PluginConflictError: several distributions register it and none is named.
        PluginLoadError: it cannot be imported, or is not a usable Backend.
    """
    return load_registered(find(name, also=also))


def load_registered(registration: Registration) -> type[Backend]:
    """Return the checked backend class of a registration.

    Raises:
        PluginLoadError: it cannot be imported, or is not a usable Backend.
    """
    what = f"backend {registration.name!r} ({registration.origin}, {registration.target})"
    try:
        target = registration.load()
    except (Exception, SystemExit) as error:
        raise PluginLoadError(
            f"{what} failed to import: {type(error).__name__ if not str(error) else error}",
            hint=import_hint(registration, error),
        ) from error
    if problem := _problem(target):
        raise PluginLoadError(f"{what} {problem[0]}", hint=problem[1])
    return target  # type: ignore[no-any-return]


def import_hint(registration: Registration, error: BaseException) -> str:
    """Return what to do about a plugin that could not be imported."""
    module, _, attribute = registration.target.partition(":")
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name == module or module.startswith(error.name + "."):
            return f"the module {registration.distribution} registers does not exist; reinstall or upgrade it"
        return f"{registration.distribution} needs {error.name!r}, which is not installed here"
    if isinstance(error, AttributeError) and getattr(error.obj, "__name__", None) == module and attribute:
        return f"{module} has no {attribute}; reinstall or upgrade {registration.distribution}"
    return f"report it to the authors of {registration.distribution}, or uninstall it"


def _problem(target: object) -> tuple[str, str] | None:
    """Return what keeps an imported target from being used as a backend, and what to do; None when nothing does."""
    # Here, because pydantic is half of what listing without loading would cost.
    from pydantic import BaseModel

    from focal_core.plugins.backend import CAPABILITIES, CONTRACT, PORTS, Backend

    if not isinstance(target, type):
        return f"is not a class but {type(target).__name__}", "the entry point must name a subclass of Backend"
    if not issubclass(target, Backend):
        return "is not a subclass of focal_core.Backend", "derive the class from focal_core.Backend"
    if inspect.isabstract(target):
        return f"leaves abstract: {', '.join(sorted(target.__abstractmethods__))}", "implement every abstract method"
    contract = getattr(target, "contract", None)
    if not isinstance(contract, str) or contract.partition(".")[0] != CONTRACT.partition(".")[0]:
        return (
            f"is written against contract {contract}, this focal-core speaks {CONTRACT}",
            "install a release of it, or of focal-core, whose contract has the same major number",
        )
    options = getattr(target, "Options", None)
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        return "has no Options", "Options must be a pydantic model that forbids unknown keys"
    ports = getattr(target, "ports", None)
    if not isinstance(ports, Mapping) or not ports:
        return "serves no port", 'ports must map port names to "module:Class"'
    if unknown := sorted(set(ports) - set(PORTS)):
        return f"serves unknown ports: {', '.join(unknown)}", f"ports are {', '.join(PORTS)}"
    # A backend of a later minor contract may know capabilities this release has not heard of.
    if _minor(contract) <= _minor(CONTRACT) and (unknown := sorted(target.capabilities - CAPABILITIES)):
        return f"declares unknown capabilities: {', '.join(unknown)}", f"known are {', '.join(sorted(CAPABILITIES))}"
    return None


def _minor(contract: str) -> int:
    number = contract.partition(".")[2]
    return int(number) if number.isdecimal() else 0


@dataclass(frozen=True)
class BackendStatus:
    """One row of ``focal plugins list``.

    Attributes:
        registration: who registers what.
        status: ``registered`` (not looked at), ``ok``, ``conflict`` (a name claimed twice) or ``broken``.
        backend: the class, when it was loaded.
        error: why it is broken or in conflict.
    """

    registration: Registration
    status: str
    backend: type[Backend] | None = None
    error: ConfigurationError | None = None


def statuses(*, verify: bool = False) -> list[BackendStatus]:
    """Return the state of every registered backend; a broken one is a row, never an exception.

    Args:
        verify: import and check each; False imports none.
    """
    rows = []
    for registration in installed():
        backend: type[Backend] | None = None
        status = "registered"
        error: ConfigurationError | None = None
        try:
            find(registration.name)
            if verify:
                status, backend = "ok", load_registered(registration)
        except PluginConflictError as conflict:
            status, error = "conflict", conflict
        except ConfigurationError as broken:
            status, error = "broken", broken
        rows.append(BackendStatus(registration, status, backend, error))
    return rows
