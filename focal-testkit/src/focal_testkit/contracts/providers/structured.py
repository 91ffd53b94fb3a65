"""Rules of structured output."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from focal_core.errors import (
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    OutputError,
    OutputInvalid,
    OutputTruncated,
    Refused,
    SchemaUnsupported,
)
from focal_core.providers.models import CallOptions
from focal_testkit.contracts.providers.serving import PROMPTNESS, ServingContract, values_in
from focal_testkit.faults.wire_dialect import Answer, Finish, Spent
from focal_testkit.requirement import requirement


class Burrow(BaseModel):
    """A value asked for under test; the bound travels on no wire."""

    depth: Annotated[int, Field(ge=1)]


class Tunnel(BaseModel):
    """Recursive, which no wire carries."""

    next: Tunnel | None


class Loose(BaseModel):
    """An open object inside."""

    depths: dict[str, int]


class Anything(BaseModel):
    """A field of any type."""

    found: Any


class Pair(BaseModel):
    """A tuple whose places have types of their own."""

    where: tuple[int, str]


class StructuredRules(ServingContract):
    """J1 to J5."""

    @pytest.mark.parametrize(
        ("schema", "path"),
        [
            (Loose, "depths"),
            (Anything, "found"),
            (Tunnel, "next"),
            (Pair, "where"),
            (dict[str, int], "$"),
        ],
        ids=["open_object", "any", "recursive", "positional", "dict"],
    )
    @requirement("LLM-J1", since="1.1")
    async def test_provider_j1_schemas_are_never_narrowed(self, schema: Any, path: str) -> None:
        """A type that no wire carries faithfully is SchemaUnsupported with the place, before anything is sent.

        If this fails: a dict comes back empty, always, and nobody knows why.
        """
        async with self.serving(Answer()) as served:
            with pytest.raises(SchemaUnsupported) as caught:
                await served.provider.generate_structured("How deep?", schema)
            assert path in caught.value.path
            assert caught.value.reason
            assert served.sent() == []

    @requirement("LLM-J2", since="1.1")
    async def test_provider_j2_constraints_are_checked_here(self) -> None:
        """What a wire cannot say of a type still holds of the value.

        If this fails: a number below its bound passes for valid.
        """
        async with self.serving(Answer(text='{"depth": 0}')) as served:
            with pytest.raises(OutputInvalid) as caught:
                await served.provider.generate_structured("How deep?", Burrow)
        assert caught.value.response.text == '{"depth": 0}'

    @requirement("LLM-J3", since="1.1")
    async def test_provider_j3_a_value_that_is_no_object_is_wrapped(self) -> None:
        """A list or a number travels as ``{"value": ...}`` and comes back as itself.

        If this fails: only models can be asked for.
        """
        async with self.serving(Answer(text='{"value": [{"depth": 3}]}')) as served:
            value, response = await served.provider.generate_structured("How deep?", list[Burrow])
            assert "value" in served.text
        assert value == [Burrow(depth=3)]
        assert response.text == '{"value": [{"depth": 3}]}'

    @pytest.mark.parametrize(
        ("finish", "error"),
        [
            ("length", OutputTruncated),
            ("refusal", Refused),
            ("content_filter", ContentFiltered),
            ("stop", OutputInvalid),
        ],
    )
    @requirement("LLM-J4", since="1.1")
    async def test_provider_j4_output_that_is_none_is_an_error_with_the_answer(
        self, finish: Finish, error: type[OutputError]
    ) -> None:
        """Cut, refused, filtered or invalid output is an error of its own that holds the paid answer and its usage.

        If this fails: tokens are spent and forgotten.
        """
        if not self.can_finish(finish):
            pytest.skip(f"the wire cannot say {finish}")
        async with self.serving(Answer(text="No burrow today.", finish=finish)) as served:
            with pytest.raises(error) as caught:
                await served.provider.generate_structured("How deep?", Burrow)
        assert caught.value.response.text == "No burrow today."
        assert caught.value.usage.prompt_tokens == Spent().prompt
        assert caught.value.provider == served.provider.name
        assert "No burrow" not in str(caught.value) + repr(caught.value)

    def can_finish(self, finish: Finish) -> bool:
        """Return whether the provider's wire can tell a reason to end."""
        return True

    @requirement("LLM-J5", since="1.1")
    async def test_provider_j5_a_repair_asks_again_with_what_is_wrong(self) -> None:
        """A repair sends the answer and its errors back, at most ``max_repairs`` times; usage and answers add up.

        If this fails: repairs cost more than was allowed, or ask the same thing twice.
        """
        answers = (Answer(text='{"depth": "deep"}'), Answer(text='{"depth": 4}'))
        async with self.serving(*answers) as served:
            result = await served.provider.generate_structured("How deep?", Burrow, max_repairs=1)
            assert result.value == Burrow(depth=4)
            assert [one.text for one in result.responses] == [answer.text for answer in answers]
            assert result.usage.prompt_tokens == 2 * Spent().prompt
            assert result.usage.requests == 2
            assert any(
                "depth" in leaf and "alid" in leaf for leaf in values_in(served.sent()[1]) if isinstance(leaf, str)
            )
        async with self.serving(answers[0]) as served:
            with pytest.raises(OutputInvalid):
                await served.provider.generate_structured("How deep?", Burrow)
            assert len(served.sent()) == 1
            with pytest.raises(OutputInvalid) as caught:
                await served.provider.generate_structured("How deep?", Burrow, max_repairs=1)
            assert len(served.sent()) == 3
            assert caught.value.usage.prompt_tokens == 2 * Spent().prompt
            with pytest.raises(InvalidRequest):
                await served.provider.generate_structured("How deep?", Burrow, max_repairs=3)

    @requirement("LLM-J5b", since="1.1")
    async def test_provider_j5_repairs_share_the_deadline(self) -> None:
        """The deadline of structured output holds for the repairs too.

        If this fails: a call takes as many deadlines as it has repairs.
        """
        loop = asyncio.get_running_loop()
        async with self.serving(Answer(text="{}"), delay=0.15) as served:
            started = loop.time()
            with pytest.raises(DeadlineExceeded):
                await served.provider.generate_structured(
                    "How deep?", Burrow, max_repairs=2, options=CallOptions(deadline=0.25)
                )
            assert loop.time() - started <= 0.25 + PROMPTNESS
