"""Round trips and copies: what goes in comes out, and nothing is shared."""

from __future__ import annotations

from typing import Any

import pytest

from focal_core.base import FocalModel
from focal_core.values import canonical_json
from focal_testkit.contracts.base import ContractBase
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, Stored


def content(model: FocalModel, stored: Stored) -> bytes:
    """Return what must survive a round trip, as bytes that tell 1 from 1.0 and True from 1."""
    left_out: dict[str, Any] = dict.fromkeys(stored.clock | stored.unset | {"row_version"}, True)
    within = {name: {"__all__": set(fields)} for name, fields in stored.clock_within.items()}
    return canonical_json(model.model_dump(mode="json", exclude={**within, **left_out}))


def scramble(value: Any) -> None:
    """Change every mutable container within a value."""
    if isinstance(value, FocalModel):
        for item in value.__dict__.values():
            scramble(item)
    elif isinstance(value, dict):
        for item in value.values():
            scramble(item)
        value["scrambled"] = "yes"
    elif isinstance(value, list):
        for item in value:
            scramble(item)
        value.append("scrambled")


class CopyChecks(ContractBase):
    """INV-00 and INV-01 for every model a port stores."""

    async def _saved(self, store: Any, stored: Stored, full: bool) -> Any:
        made = stored.make(OURS, full=full)
        await stored.ready(store, made)
        await stored.save(store, made)
        return made

    @pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
    @requirement("STORE-010", since="1.0")
    async def test_round_trip(self, store: Any, stored: Stored, full: bool) -> None:
        """What is read equals what was saved, in every field, with optional fields set and unset (INV-01).

        If this fails: a field has no place in the store, or changes its type on the way.
        """
        made = await self._saved(store, stored, full)

        found = await stored.get(store, made)

        assert found is not None
        assert type(found) is stored.model
        assert content(found, stored) == content(made, stored)

    @requirement("STORE-011", since="1.0")
    async def test_no_aliasing_in(self, store: Any, stored: Stored) -> None:
        """Changing an object after it was saved does not change what is stored (INV-00).

        If this fails: the store keeps the caller's object, or a container within it.
        """
        made = await self._saved(store, stored, full=True)
        before = content(made, stored)

        scramble(made)

        assert content(await stored.get(store, made), stored) == before

    @requirement("STORE-012", since="1.0")
    async def test_no_aliasing_out(self, store: Any, stored: Stored) -> None:
        """Changing an object that was read does not change what is stored (INV-00).

        If this fails: the store hands out its own object, or a container within it.
        """
        made = await self._saved(store, stored, full=True)
        before = content(made, stored)

        scramble(await stored.get(store, made))

        assert content(await stored.get(store, made), stored) == before
