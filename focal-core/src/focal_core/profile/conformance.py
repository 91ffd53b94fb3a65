"""Whether a field is what its definition says."""

from __future__ import annotations

from focal_core.errors import InvalidDataError
from focal_core.profile.models import ProfileField, ProfileFieldDefinition
from focal_core.profile.patterns import MAX_COMPILE_SECONDS, compile_pattern
from focal_core.profile.value_types import matches_type
from focal_core.values import canonical_json


def violations(field: ProfileField, definition: ProfileFieldDefinition) -> dict[str, str]:
    """Return what a field violates of its definition: kind of violation -> one sentence that holds no value.

    Kinds: ``type``, ``regex``, ``allowed_values``, ``verification``. The definition's mode plays no part.
    """
    found = {}
    if not matches_type(field.value, definition.value_type):
        found["type"] = f"expected a value of type {definition.value_type.value}, got {type(field.value).__name__}"
    pattern = definition.validation_regex
    if pattern is not None and isinstance(field.value, str) and not compile_pattern(pattern).matches(field.value):
        found["regex"] = f"the value does not match the pattern {pattern}"
    if definition.allowed_values is not None:
        # As JSON text: in Python True equals 1.
        allowed = {canonical_json(value) for value in definition.allowed_values}
        if canonical_json(field.value) not in allowed:
            found["allowed_values"] = "the value is not one of the allowed values"
    if definition.required_verification and not field.verified:
        found["verification"] = "the field must be verified"
    return found


def check_definition(definition: ProfileFieldDefinition) -> None:
    """Refuse a definition whose pattern takes too long to compile; stores call it before they save one.

    Raises:
        InvalidDataError: code ``pattern_invalid``.
    """
    pattern = definition.validation_regex
    if pattern is not None and compile_pattern(pattern).seconds > MAX_COMPILE_SECONDS:
        raise InvalidDataError(
            f"the pattern of field {definition.name!r} takes over {MAX_COMPILE_SECONDS * 1000:.0f} ms to compile",
            code="pattern_invalid",
            hint="use a smaller pattern, or allowed_values",
        )
