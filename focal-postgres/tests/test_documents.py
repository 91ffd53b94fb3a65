"""Documents in JSONB columns: read as they were written, refused where they cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_core import from_json

from focal_core.conversation.models import Session
from focal_core.errors import SchemaOutdatedError, StoreError
from focal_core.values import canonical_json
from focal_postgres.documents import Document
from focal_testkit.data import hostile
from focal_testkit.data.conversation import session

STORED = ("version", "created_at", "last_activity_at", "expires_at")
DOCUMENT = Document(Session, STORED)


def _in_jsonb(text: str) -> str:
    """Return a document the way PostgreSQL shows it, apart from the order of its keys."""
    return json.dumps(json.loads(text), ensure_ascii=False)


def _restored(one: Session, text: str) -> Session:
    return DOCUMENT.load(text, **{name: getattr(one, name) for name in STORED})


@pytest.mark.parametrize("corpus", sorted(hostile.DOCUMENTS))
def test_document_gives_back_what_it_was_made_of(corpus: str) -> None:
    """Every JSON value comes back with its types, on the quick way and on the careful one."""
    one = session(variables={"it": hostile.DOCUMENTS[corpus]})
    text = DOCUMENT.dump(one)

    found = _restored(one, _in_jsonb(text))

    assert canonical_json(found.variables) == canonical_json(one.variables)
    assert found.model_dump() == one.model_dump()
    assert not set(STORED) & set(from_json(text))


def test_unknown_keys_are_ignored_at_every_depth() -> None:
    """A later release of the same version may have added fields: they are left out, not refused."""
    one = session(
        step_history=[{"step_id": session().session_id, "entered_at": "2026-01-01T00:00:00Z", "turn_number": 1}]
    )
    document: dict[str, Any] = from_json(DOCUMENT.dump(one))
    document["added_later"] = 1
    document["step_history"][0]["added_later"] = 1

    assert _restored(one, _in_jsonb(canonical_json(document).decode())) == one


@pytest.mark.parametrize("version", [2, 10, 17])
def test_newer_documents_are_refused(version: int) -> None:
    """A document of a later version is not guessed at, also when the user's own data speak of version 1."""
    document = {**from_json(DOCUMENT.dump(session(metadata={"schema_version": 1}))), "schema_version": version}

    with pytest.raises(SchemaOutdatedError):
        _restored(session(), _in_jsonb(canonical_json(document).decode()))


def test_a_key_of_that_name_in_the_users_data_is_the_users() -> None:
    """``schema_version`` inside metadata decides nothing."""
    one = session(metadata={"schema_version": 7})

    assert _restored(one, _in_jsonb(DOCUMENT.dump(one))) == one


@pytest.mark.parametrize("change", [{"agent_id": "no uuid"}, {"schema_version": None}, {"variables": 3}])
def test_what_is_no_session_is_a_corrupt_record(change: dict[str, Any]) -> None:
    """A document that holds no valid model is told as such, never handed out."""
    document = {**from_json(DOCUMENT.dump(session())), **change}

    with pytest.raises(StoreError) as refused:
        _restored(session(), _in_jsonb(canonical_json(document).decode()))

    assert refused.value.code == "corrupt_record"
