"""Reversible text for backends that hold neither NUL nor lone surrogates.

The introducer U+E0F0 is followed by four hex digits of the code unit it stands for; the introducer escapes itself.
Text without any of these comes back as the very same object.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from focal_core.errors import StoreError
from focal_core.values import JSON

_INTRODUCER = "\ue0f0"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff\ue0f0]")
_ESCAPED = re.compile("\ue0f0(.{0,4})", re.DOTALL)


def encode_text(text: str) -> str:
    """Return text that UTF-8 and every backend can hold; ``decode_text`` gives the original back."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(lambda found: f"{_INTRODUCER}{ord(found[0]):04x}", text)


def decode_text(text: str) -> str:
    """Return the text that ``encode_text`` was given.

    Raises:
        StoreError: code ``corrupt_record``: an introducer is not followed by four hex digits.
    """
    return _ESCAPED.sub(_decoded, text) if _INTRODUCER in text else text


def _decoded(found: re.Match[str]) -> str:
    try:
        return chr(int(found[1], 16)) if len(found[1]) == 4 else _corrupt()
    except ValueError:
        return _corrupt()


def _corrupt() -> str:
    raise StoreError("stored text holds a broken escape", code="corrupt_record")


def encode_json(value: JSON) -> JSON:
    """Return a JSON value with ``encode_text`` applied to every string and key."""
    return _walk(value, encode_text)


def decode_json(value: JSON) -> JSON:
    """Return a JSON value with ``decode_text`` applied to every string and key."""
    return _walk(value, decode_text)


def _walk(value: JSON, text: Callable[[str], str]) -> JSON:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): _walk(item, text) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, text) for item in value]
    return value
