"""Where settings come from: reading, merging, and explaining what is wrong with which value of which source."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from focal_core.errors import SettingsError
from focal_core.redact import redact

DEFAULT_FILE = "focal.toml"
ENVIRONMENT_PREFIX = "FOCAL_"
ARGUMENT = "argument"

KeyPath = tuple[str, ...]

_REFERENCE = re.compile(r"\$(?P<escaped>\$?)\{(?P<name>[^}]*)\}")


def variable_name(path: KeyPath) -> str:
    """Return the environment variable that sets a key."""
    return ENVIRONMENT_PREFIX + "__".join(part.upper().replace("-", "_") for part in path)


class Layers:
    """Nested values of several sources, merged: what is laid later goes over what was laid before.

    Attributes:
        values: the merged values.
        origins: where each leaf came from.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[KeyPath, str] = {}

    def lay(self, values: Mapping[str, Any], origin: str) -> None:
        """Lay a nested mapping over what is there."""
        self._lay(self.values, values, (), origin)

    def lay_one(self, path: KeyPath, value: Any, origin: str) -> None:
        """Lay the value of one key over what is there."""
        for part in reversed(path):
            value = {part: value}
        self.lay(value, origin)

    def _lay(self, below: dict[str, Any], above: Mapping[str, Any], path: KeyPath, origin: str) -> None:
        for key, value in above.items():
            here = (*path, str(key))
            if isinstance(value, Mapping):
                if not value:
                    self.origins.setdefault(here, origin)
                inner = below.get(key)
                below[key] = dict(inner) if isinstance(inner, dict) else {}
                self._lay(below[key], value, here, origin)
            else:
                below[key] = value
                self.origins[here] = origin


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a settings file.

    Raises:
        SettingsError: it is missing, unreadable or no TOML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"there is no settings file {os.fspath(path)}", hint=f"focal init {os.fspath(path)}", code="file_missing"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"cannot read {os.fspath(path)}: {reason}", hint="name a readable TOML file") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{os.fspath(path)} is not valid TOML: {error}", hint="correct that line") from None


def interpolated(values: Mapping[str, Any], environ: Mapping[str, str], path: KeyPath = ()) -> dict[str, Any]:
    """Return values with every ``${NAME}`` in a text replaced by that environment variable; ``$${`` means ``${``.

    Raises:
        SettingsError: the variable is not set.
    """
    return {key: _interpolate(value, environ, (*path, str(key))) for key, value in values.items()}


def _interpolate(value: Any, environ: Mapping[str, str], path: KeyPath) -> Any:
    if isinstance(value, Mapping):
        return interpolated(value, environ, path)
    if isinstance(value, list):
        return [_interpolate(item, environ, path) for item in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if found["escaped"]:
            return "${" + name + "}"
        if name not in environ:
            raise SettingsError(
                f"{'.'.join(path)} refers to the environment variable {name}, which is not set",
                hint=f"set {name}, or write $${{{name}}} if the text itself is meant",
                code="variable_unset",
            )
        return environ[name]

    return _REFERENCE.sub(replace, value)


def from_environment(
    environ: Mapping[str, str], model: type[BaseModel], backends: Collection[str]
) -> list[tuple[KeyPath, str, str]]:
    """Return (key, value, variable) of each ``FOCAL_...`` variable that is a setting; ``__`` separates the levels.

    Empty variables count as unset. A variable without ``__`` that resembles no key belongs to somebody else.

    Args:
        environ: the environment.
        model: whose keys are known.
        backends: names of configured backends, found again under letter case and hyphens a variable cannot have.
    """
    found = []
    for variable, value in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or not value:
            continue
        path = tuple(variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if len(path) == 1 and not get_close_matches(path[0], model.model_fields, n=1, cutoff=0.75):
            continue
        if path[0] == "backends" and len(path) > 1:
            name = next((one for one in backends if one.lower().replace("-", "_") == path[1]), path[1])
            path = ("backends", name, *path[2:])
        found.append((path, value, variable))
    return found


def explain(
    error: ValidationError, model: type[BaseModel], origins: Mapping[KeyPath, str], prefix: KeyPath = ()
) -> SettingsError:
    """Return the error for settings that pydantic refused: keys, reasons, sources and what to do; never values.

    Args:
        error: pydantic's error.
        model: the model that refused.
        origins: where each value came from.
        prefix: where the model stands among the settings.
    """
    messages, hints = [], []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        inner = tuple(str(part) for part in one["loc"])
        path = (*prefix, *inner)
        key = ".".join(path)
        # An item of a list has no origin of its own.
        found = next(filter(None, (origin_of(path[:length], origins) for length in range(len(path), 0, -1))), None)
        origin = f" ({found})" if found else ""
        if one["type"] == "extra_forbidden":
            messages.append(f"unknown key {key!r}{origin}")
            hints.append(_known_keys(model, inner))
        elif one["type"] == "missing":
            messages.append(f"{key} is not set")
            hints.append(f"set {key} in {DEFAULT_FILE}, or {variable_name(path)}")
        else:
            table = one["type"] in ("model_type", "dict_type")
            reason = "must be a table of keys" if table else redact(one["msg"].removeprefix("Value error, "))
            messages.append(f"{key or 'settings'}: {reason}{origin}")
            hints.append(f"correct {key} in {DEFAULT_FILE}, or set {variable_name(path)}" if key else "correct them")
    return SettingsError("; ".join(messages), hint="; ".join(dict.fromkeys(hints)))


def origin_of(path: KeyPath, origins: Mapping[KeyPath, str]) -> str | None:
    """Return where the value of a key, or the first one within it, came from; None when nothing set it."""
    return next((origin for key, origin in origins.items() if key[: len(path)] == path), None)


def _known_keys(model: type[BaseModel], path: KeyPath) -> str:
    for part in path[:-1]:
        field = model.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return "remove it"
        model = field.annotation
    known = list(model.model_fields)
    close = get_close_matches(path[-1], known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known keys are {', '.join(known)}" if known else "it has no settings"
