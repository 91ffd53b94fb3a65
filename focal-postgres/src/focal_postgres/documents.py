"""Models that are stored whole: one JSONB column, with what the store decides in columns of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator, from_json

from focal_core.base import FocalModel
from focal_core.context import Limits
from focal_core.documents import SCHEMA_VERSION, dump_document, load_document
from focal_core.errors import StoreError
from focal_core.gate import check_sizes, revalidated, within_limits
from focal_core.values import STORED
from focal_postgres import jsonb

M = TypeVar("M", bound=FocalModel)

_VERSION = '"schema_version": '
_READABLE = tuple(f"{SCHEMA_VERSION}{end}" for end in ",}")


class Document(Generic[M]):
    """The form of a model in a JSONB column, by the rules of ``focal_core.documents``.

    Args:
        model: the class.
        without: fields that have columns of their own; absent from the document.
    """

    def __init__(self, model: type[M], without: Collection[str]) -> None:
        self._model = model
        self._without = set(without)
        self._serializer = model.__pydantic_serializer__
        self._reader = SchemaValidator(_of_stored(model.__pydantic_core_schema__))

    def admit(self, model: M, limits: Limits) -> tuple[M, str]:
        """Return what ``gate.admit`` returns, and its document.

        Raises:
            InvalidDataError: the model is invalid, or a part of it exceeds a limit.
        """
        row = revalidated(model)
        document = self.dump(row)
        if not within_limits(len(document), limits):
            check_sizes(row, limits)
        return row, document

    def dump(self, row: M) -> str:
        """Return the document of a valid model as text for a JSONB parameter; ``load`` gives an equal model back."""
        try:
            text = self._serializer.to_json(row, exclude=self._without).decode()
        except (PydanticSerializationError, UnicodeEncodeError):
            return self._dump_slowly(row)
        if jsonb.needs_care(text):
            return self._dump_slowly(row)
        return f'{{"schema_version":{SCHEMA_VERSION},{text[1:]}'

    def _dump_slowly(self, row: M) -> str:
        document = {name: value for name, value in dump_document(row).items() if name not in self._without}
        return jsonb.written(document)

    def load(self, text: str, **stored: Any) -> M:
        """Return the model of a document.

        Args:
            text: the JSONB column.
            stored: the fields that were left out.

        Raises:
            SchemaOutdatedError: it was written by a newer release.
            StoreError: code ``corrupt_record``: it holds no valid model.
        """
        at = text.find(_VERSION)
        known = text.startswith(_READABLE, at + len(_VERSION)) if at >= 0 else False
        # A document of the user's may hold such a key too; which of them is ours takes a closer look.
        if known and text.find(_VERSION, at + 1) < 0 and jsonb.INTRODUCER not in text:
            try:
                row: M = self._reader.validate_json(text, extra="ignore")
            except ValidationError as error:
                raise StoreError(
                    f"a stored {self._model.__name__} is not valid: {error.error_count()} error(s)",
                    code="corrupt_record",
                ) from None
        else:
            row = load_document(self._model, from_json(text, allow_inf_nan=False))
        row.set_stored(**stored)
        return row


def _of_stored(schema: Any) -> Any:
    """Return a core schema without what was settled when the document was written: aliases, and checks of text."""
    if isinstance(schema, dict):
        stored = (schema.get("metadata") or {}).get(STORED)
        if stored is not None:
            return stored
        if schema.get("type") == "function-before" and schema["function"]["function"].__name__ == "_fold_aliases":
            return _of_stored(schema["schema"])
        return {key: value if key == "metadata" else _of_stored(value) for key, value in schema.items()}
    return [_of_stored(item) for item in schema] if isinstance(schema, list) else schema
