"""What the converters share: reading JSON and JSON lines, writing TOML and JSON lines, stopping with one clear line."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn, cast


def stop(message: str) -> NoReturn:
    """End the program with one line on stderr and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def _open_text(path: Path) -> IO[str]:
    # By content, not by name: a downloaded file may be packed and not say so.
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, gzipped or not; a missing or malformed file ends the program."""
    try:
        with _open_text(path) as text:
            return json.load(text)
    except (OSError, EOFError, ValueError) as error:
        stop(f"cannot read {path}: {error}")


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file: the lines of JSON lines, or the items of one JSON array; gzipped or not."""
    try:
        with _open_text(path) as text:
            if text.read(1) == "[":
                text.seek(0)
                yield from json.load(text)
                return
            text.seek(0)
            for number, line in enumerate(text, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        stop(f"cannot read {path}, line {number}: {error}")
    except (OSError, EOFError, ValueError) as error:
        stop(f"cannot read {path}: {error}")


def identifier(text: str, limit: int = 50) -> str:
    """Return a text as a lower-case name of letters, digits and underscores that starts with no digit."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (f"_{name}" if name[:1].isdigit() else name)[:limit]


def write_agent(path: Path, document: Mapping[str, Any], comment: str) -> None:
    """Write an agent file.

    Args:
        path: the file.
        document: tables and arrays of tables by name, nested as in the TOML; values of None are left out.
        comment: first line.
    """
    lines = [f"# {comment}", ""]
    for name, value in document.items():
        if isinstance(value, Mapping):
            _write_table(lines, name, value, f"[{name}]")
        else:
            for item in value:
                _write_table(lines, name, item, f"[[{name}]]")
    path.write_text("\n".join(lines), encoding="utf-8")


def _write_table(lines: list[str], name: str, table: Mapping[str, Any], header: str) -> None:
    lines.append(header)
    children = []
    for key, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            children.append((f"{name}.{key}", value))
        elif value is not None and value != []:
            lines.append(f"{key} = {_value(value)}")
    lines.append("")
    for child, items in children:
        for item in items:
            _write_table(lines, child, item, f"[[{child}]]")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(key)} = {_value(item)}" for key, item in value.items()) + " }"
    raise TypeError(f"TOML has no {type(value).__name__}")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write records as JSON lines, one at a time, and return how many there were."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def output_folder(path: Path) -> Path:
    """Return the folder for the results, made if it is absent."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"cannot write to {path}: {error}")
    return path
