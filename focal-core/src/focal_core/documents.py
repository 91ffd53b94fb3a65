"""Models as stored JSON documents: what a backend that keeps whole objects writes and reads.

A document carries ``schema_version`` beside the model's fields. Readers ignore keys they do not know, so that an older
release can read what a newer one of the same version added; a newer version is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from focal_core.base import FocalModel
from focal_core.errors import SchemaOutdatedError, StoreError
from focal_core.textcodec import decode_json, encode_json
from focal_core.values import JSON

M = TypeVar("M", bound=FocalModel)

SCHEMA_VERSION = 1
"""The version this release writes, and the newest it reads."""


def dump_document(model: FocalModel) -> dict[str, JSON]:
    """Return a model as a JSON document that every backend can hold; ``load_document`` gives an equal model back."""
    document: dict[str, JSON] = encode_json(model.model_dump(mode="json"))
    return {"schema_version": SCHEMA_VERSION, **document}


def load_document(cls: type[M], document: Mapping[str, JSON]) -> M:
    """Return the model a document holds.

    Raises:
        SchemaOutdatedError: the document was written by a newer release.
        StoreError: code ``corrupt_record``: the document holds no valid model.
    """
    version = document.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise StoreError(f"a stored {cls.__name__} has no schema_version", code="corrupt_record")
    if version > SCHEMA_VERSION:
        raise SchemaOutdatedError(
            f"a stored {cls.__name__} has schema_version {version}, this release reads up to {SCHEMA_VERSION}",
            hint="upgrade focal-core and the backend's package",
        )
    fields = decode_json({name: value for name, value in document.items() if name != "schema_version"})
    try:
        return cls.model_validate(fields, extra="ignore")
    except ValidationError as error:
        raise StoreError(
            f"a stored {cls.__name__} is not valid: {error.error_count()} error(s)", code="corrupt_record"
        ) from None
