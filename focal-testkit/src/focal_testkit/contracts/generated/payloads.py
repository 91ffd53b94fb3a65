"""Hostile payloads: stored to the letter or refused, never altered."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.context import BackendContext, Limits
from focal_core.errors import InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.generated.copies import content
from focal_testkit.data import hostile
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, Stored


def _is_document(annotation: Any) -> bool:
    text = str(annotation)
    return annotation is Any or "dict[str, typing.Any]" in text or "Mapping[str, typing.Any]" in text


class PayloadChecks(ContractBase):
    """Every text and JSON field of every model, with what naive backends choke on."""

    async def _survives(self, store: Any, stored: Stored, fields: list[str], value: Any) -> None:
        for seed, name in enumerate(fields):
            try:
                made = stored.make(OURS, full=False, seed=seed, **{name: value})
            except ValidationError:
                continue
            await stored.ready(store, made)
            await stored.save(store, made)
            found = await stored.get(store, made)
            assert content(found, stored) == content(made, stored), f"{stored}.{name} was altered"

    def _free(self, stored: Stored) -> set[str]:
        return set(stored.model.model_fields) - set(stored.overrides) - stored.unset

    @pytest.mark.parametrize("corpus", sorted(hostile.TEXTS))
    @requirement("STORE-013", since="1.0")
    async def test_hostile_text(self, store: Any, stored: Stored, corpus: str) -> None:
        """Free text comes back to the letter, whatever it holds.

        If this fails: the backend cannot hold the character and does not apply the text codec, or interprets it.
        """
        fields = [name for name in self._free(stored) if "str" in str(stored.model.model_fields[name].annotation)]
        await self._survives(store, stored, sorted(fields), hostile.TEXTS[corpus])

    @pytest.mark.parametrize("corpus", sorted(hostile.IDENTIFIERS))
    @requirement("STORE-014", since="1.0")
    async def test_hostile_identifier(self, store: Any, stored: Stored, corpus: str) -> None:
        """Names and keys may hold separators, quotes, wildcards and any letter.

        If this fails: the identifier becomes part of a key, a pattern or a statement without being quoted.
        """
        fields = [name for name in self._free(stored) if "str" in str(stored.model.model_fields[name].annotation)]
        await self._survives(store, stored, sorted(fields), hostile.IDENTIFIERS[corpus])

    @pytest.mark.parametrize("corpus", sorted(hostile.DOCUMENTS))
    @requirement("STORE-015", since="1.0")
    async def test_hostile_document(self, store: Any, stored: Stored, corpus: str) -> None:
        """JSON comes back with every type, size and key as it was.

        If this fails: integers lose digits, 1.0 becomes 1, True becomes 1, or a key is taken for syntax.
        """
        fields = [name for name in self._free(stored) if _is_document(stored.model.model_fields[name].annotation)]
        await self._survives(store, stored, sorted(fields), hostile.DOCUMENTS[corpus])

    @requirement("STORE-017", since="1.0")
    async def test_limits_are_kept(self, context: BackendContext, stored: Stored) -> None:
        """Text and documents beyond the limits are refused with InvalidDataError, and nothing is stored.

        If this fails: a limit is a constant of the backend, or is not looked at.
        """
        kinds = {name: stored.model.model_fields[name].annotation for name in sorted(self._free(stored))}
        document: Any = {"text": ["x" * 50] * 9}
        excess: list[tuple[str, Any]] = [(name, "x" * 201) for name, kind in kinds.items() if "str" in str(kind)]
        excess += [(name, document) for name, kind in kinds.items() if _is_document(kind)]
        limits = Limits(text_chars=200, document_bytes=400, metadata_bytes=400)
        async with self.open_store(replace(context, limits=limits)) as store:
            for seed, (name, value) in enumerate(excess):
                try:
                    made = stored.make(OURS, full=False, seed=seed, **{name: value})
                except ValidationError:
                    continue
                # What it depends on may share the value, and be refused for it.
                with suppress(InvalidDataError):
                    await stored.ready(store, made)
                with pytest.raises(InvalidDataError) as refused:
                    await stored.save(store, made)
                assert refused.value.code in ("text_too_long", "document_too_large", "metadata_too_large"), name
                assert await stored.get(store, made) is None

    @requirement("STORE-016", since="1.0")
    async def test_bad_data_is_invalid_data(self, store: Any, stored: Stored) -> None:
        """A model broken behind its validators is refused with InvalidDataError, and nothing is stored.

        If this fails: the store trusts the object, or reports bad data as an outage.
        """
        made = stored.make(OURS)
        await stored.ready(store, made)
        made.__dict__["created_at" if "created_at" in made.__dict__ else "tenant_id"] = "not a value of this type"

        with pytest.raises(InvalidDataError):
            await stored.save(store, made)

        assert await stored.get(store, made) is None
