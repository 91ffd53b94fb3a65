"""Regular expressions of field definitions: full match, in time linear in the text.

The engine is pydantic-core's (Rust's ``regex``): no look-around, no back-references, and nothing a customer types can
make it slow.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, core_schema

MAX_PATTERN_CHARS = 512
"""Characters of a pattern at most."""
MAX_INPUT_CHARS = 4096
"""Characters of a value that is matched at most; a longer one does not match."""
MAX_COMPILE_SECONDS = 0.02
"""Processor time that compiling a pattern may take."""


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern.

    Attributes:
        seconds: processor time it took to compile.
    """

    _validator: SchemaValidator
    seconds: float

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches; never, when it is longer than ``MAX_INPUT_CHARS``."""
        if len(text) > MAX_INPUT_CHARS:
            return False
        try:
            self._validator.validate_python(text)
        except ValidationError:
            return False
        return True


def _validator(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Pattern:
    """Return a pattern compiled for full match.

    Raises:
        PydanticCustomError: code ``pattern_invalid``: too long, or the engine refuses it.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PydanticCustomError("focal.pattern_invalid", f"a pattern may have at most {MAX_PATTERN_CHARS} characters")
    started = time.thread_time()
    try:
        # Alone first, or "a)|(?:b" would escape from the brackets.
        _validator(pattern)
        anchored = _validator(rf"\A(?:{pattern})\z")
    except (SchemaError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip().replace("{", "(").replace("}", ")")
        raise PydanticCustomError("focal.pattern_invalid", f"the pattern does not compile: {reason}") from None
    return Pattern(anchored, time.thread_time() - started)
