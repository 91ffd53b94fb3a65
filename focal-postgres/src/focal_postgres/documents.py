"""Models that are stored whole: one JSON column, with what the store decides in columns of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator, core_schema, from_json

from focal_core.base import FocalModel
from focal_core.context import Limits
from focal_core.documents import SCHEMA_VERSION, dump_document, load_document
from focal_core.gate import check_sizes, revalidated, within_limits
from focal_core.revalidation import document_reader
from focal_postgres import jsonb

M = TypeVar("M", bound=FocalModel)

_VERSION = "schema_version"


class Document(Generic[M]):
    """The form of a model in a JSON or JSONB column, by the rules of ``focal_core.documents``.

    Args:
        model: the class.
        without: fields that have columns of their own; absent from the document.
    """

    def __init__(self, model: type[M], without: Collection[str]) -> None:
        self._model = model
        self._without = set(without)
        self._serializer = model.__pydantic_serializer__

    @cached_property
    def _reader(self) -> SchemaValidator:
        version = core_schema.int_schema(strict=True, ge=1, le=SCHEMA_VERSION)
        return document_reader(self._model, {_VERSION: version}, dict.fromkeys(self._without))

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
        """Return the document of a valid model as text for a JSON parameter; ``load`` gives an equal model back."""
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
            text: the column.
            stored: the fields that were left out.

        Raises:
            SchemaOutdatedError: it was written by a newer release.
            StoreError: code ``corrupt_record``: it holds no valid model.
        """
        if jsonb.INTRODUCER not in text:
            try:
                row: M = self._reader.validate_json(text, extra="ignore")
            except ValidationError:
                return self._load_slowly(text, stored)
            # Made just now: nobody else has its fields.
            del row.__dict__[_VERSION]
            row.__dict__.update(stored)
            row.__pydantic_fields_set__.remove(_VERSION)
            row.__pydantic_fields_set__.update(stored)
            return row
        return self._load_slowly(text, stored)

    def _load_slowly(self, text: str, stored: Mapping[str, Any]) -> M:
        row = load_document(self._model, from_json(text, allow_inf_nan=False))
        row.set_stored(**stored)
        return row
