"""Rules of requests: what is set is sent or refused, what is not is not, and nothing is changed or shared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from focal_core.errors import InvalidRequest, UnsupportedFeature
from focal_core.providers.models import (
    FilePart,
    ImagePart,
    LLMMessage,
    ResponseSchema,
    SpecificTool,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_testkit.contracts.providers.serving import ECHO, ServingContract, asking, keys_in, values_in
from focal_testkit.faults.wire_dialect import Answer
from focal_testkit.requirement import requirement

_PIXEL = b"\x89PNG\r\n\x1a\nMARK"
_OPEN = {"type": "object", "properties": {"depth_MARK": {"type": "integer"}}, "additionalProperties": False}
_SCHEMA = {**_OPEN, "required": ["depth_MARK"]}
_DIG = ToolSpec(name="dig_MARK", description="Digs a burrow.", input_schema=_SCHEMA)
_REST = ToolSpec(name="rest", description="Rests.", input_schema=_SCHEMA, strict=False)
_CALL = ToolCallPart(id="call_MARK", name="dig_MARK", arguments={"depth_MARK": 7}, raw_arguments='{"depth_MARK": 7}')
_CALLED = (LLMMessage(role="user", content="Dig."), LLMMessage(role="assistant", parts=(_CALL,)))


def _told(*parts: Any) -> dict[str, Any]:
    return {"messages": (LLMMessage(role="user", parts=(TextPart(text="See."), *parts)),)}


def _resulted(content: Any, **fields: Any) -> dict[str, Any]:
    result = ToolResultPart(id="call_MARK", content=content, **fields)
    return {"messages": (*_CALLED, LLMMessage(role="user", parts=(result,))), "tools": (_DIG,)}


FIELDS: Mapping[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "system": ({"system": "You are a MARK wombat."}, ("You are a MARK wombat.",)),
    "model": ({"model": "model-MARK"}, ("model-MARK",)),
    "max_tokens": ({"max_tokens": 1234}, (1234,)),
    "temperature": ({"temperature": 0.25}, (0.25,)),
    "temperature_zero": ({"temperature": 0.0}, (0.0,)),
    "top_p": ({"top_p": 0.75}, (0.75,)),
    "stop": ({"stop": ("HALT-MARK",)}, ("HALT-MARK",)),
    "tools": ({"tools": (_DIG, _REST)}, ("dig_MARK", "Digs a burrow.", "rest")),
    "tool_choice_none": ({"tools": (_DIG,), "tool_choice": "none"}, ("dig_MARK", "none")),
    "tool_choice_required": ({"tools": (_DIG,), "tool_choice": "required"}, ("dig_MARK",)),
    "tool_choice_specific": ({"tools": (_DIG, _REST), "tool_choice": SpecificTool(name="rest")}, ("dig_MARK", "rest")),
    "effort_low": ({"effort": "low"}, ("low",)),
    "effort_high": ({"effort": "high"}, ("high",)),
    "effort_minimal": ({"effort": "minimal"}, ("minimal",)),
    "effort_none": ({"effort": "none"}, ()),
    "response_schema": ({"response_schema": ResponseSchema(name="Report", schema=_SCHEMA)}, ("integer",)),
    "end_user": ({"end_user": "user-MARK"}, ("user-MARK",)),
    "image": (_told(ImagePart(data=_PIXEL, media_type="image/png")), ()),
    "image_url": (_told(ImagePart(url="https://example.org/MARK.png")), ("https://example.org/MARK.png",)),
    "image_file": (_told(ImagePart(file_id="file-MARK")), ("file-MARK",)),
    "file": (_told(FilePart(data=b"%PDF-MARK", media_type="application/pdf", name="MARK.pdf")), ()),
    "file_url": (_told(FilePart(url="https://example.org/MARK.pdf")), ("https://example.org/MARK.pdf",)),
    "file_id": (_told(FilePart(file_id="file-MARK")), ("file-MARK",)),
    "tool_result": (_resulted("It is MARK deep."), ("It is MARK deep.", "call_MARK")),
    "tool_error": (_resulted("It MARK caved in.", is_error=True), ("call_MARK",)),
    "tool_result_of_parts": (_resulted((TextPart(text="It is MARK deep."),)), ("call_MARK",)),
}
"""Name -> fields of a request, and the values that what is sent must hold; the text of results is searched for."""

_OPTIONAL = {
    "temperature", "top_p", "top_k", "stop", "stop_sequences", "tools", "tool_choice", "effort", "thinking",
    "reasoning", "reasoning_effort", "response_format", "response_schema", "output_config", "end_user", "metadata",
    "safety_identifier", "prompt_cache_key", "cache_control", "system", "instructions", "user",
}  # fmt: skip


class RequestRules(ServingContract):
    """R1 to R5, and the little there is to say of counting and health."""

    @pytest.mark.parametrize("field", sorted(FIELDS))
    @requirement("LLM-R1", since="1.1")
    async def test_provider_r1_every_field_is_sent_or_refused(self, field: str) -> None:
        """Every field set in a request reaches the other side, or the call is refused before anything is sent.

        If this fails: users get answers to another question than they asked, and are not told.
        """
        fields, marks = FIELDS[field]
        async with self.serving(Answer()) as served:
            await served.provider.generate(asking())
            plain = served.sent()[0]
            request = asking(**fields) if "messages" not in fields else asking().model_copy(update=fields)
            try:
                await served.provider.generate(request)
            except UnsupportedFeature:
                assert len(served.sent()) == 1
                return
            sent = served.sent()[1]
        assert sent != plain
        for mark in marks:
            assert any(mark == leaf or (isinstance(leaf, str) and str(mark) in leaf) for leaf in values_in(sent))

    @requirement("LLM-R1b", since="1.1")
    async def test_provider_r1_what_a_model_cannot_do_is_refused(self) -> None:
        """What the capabilities say a model cannot do is refused before anything is sent.

        If this fails: capabilities are decoration.
        """
        needs = {
            "tools": "tools", "structured_output": "response_schema", "images": "image", "files": "file",
            "temperature": "temperature", "top_p": "top_p", "stop": "stop", "effort": "effort_high",
        }  # fmt: skip
        async with self.serving(Answer()) as served:
            able = served.provider.capabilities()
            for capability, field in needs.items():
                if getattr(able, capability) is False:
                    with pytest.raises(UnsupportedFeature):
                        await served.provider.generate(asking().model_copy(update=FIELDS[field][0]))
            assert served.sent() == []

    @requirement("LLM-R2", since="1.1")
    async def test_provider_r2_what_is_not_set_is_not_sent(self) -> None:
        """A field left None is not sent.

        If this fails: models that refuse a field are unusable, and defaults of the vendor are overridden unasked.
        """
        async with self.serving(Answer()) as served:
            await served.provider.generate(asking())
            assert keys_in(served.sent()[0]) & _OPTIONAL == set()

    @requirement("LLM-R2b", since="1.1")
    async def test_provider_r2_metadata_stays_here(self) -> None:
        """``metadata`` is ours: it is never sent.

        If this fails: trace ids and tenants reach the vendor.
        """
        async with self.serving(Answer()) as served:
            await served.provider.generate(asking(metadata={"trace": "secret-MARK"}))
            sent = served.sent()[0]
            assert "secret-MARK" not in values_in({key: inner for key, inner in sent.items() if key != "metadata"})

    @requirement("LLM-R3", since="1.1")
    async def test_provider_r3_requests_are_not_changed(self) -> None:
        """A request is the same after a call as before.

        If this fails: a request that is asked twice is another one the second time.
        """
        request = asking(system="Be brief.", max_tokens=99, metadata={"trace": "t"})
        before = request.model_dump_json()
        async with self.serving(Answer()) as served:
            await served.provider.generate(request)
            async with served.provider.stream(request) as stream:
                await stream.response()
        assert request.model_dump_json() == before

    @requirement("LLM-R3b", since="1.1")
    async def test_provider_r3_concurrent_calls_share_nothing(self) -> None:
        """Of many concurrent calls, whole and streamed, each gets the answer to its own question.

        If this fails: one user reads what another one asked.
        """

        async def streamed(provider: Any, text: str) -> str:
            async with provider.stream(asking(text)) as stream:
                return str((await stream.response()).text)

        async def whole(provider: Any, text: str) -> str:
            return str((await provider.generate(asking(text))).text)

        marks = [f"MARK-{number}" for number in range(100, 130)]
        async with self.serving(ECHO, delay=0.001) as served:
            asked = [(whole, streamed)[number % 2](served.provider, mark) for number, mark in enumerate(marks)]
            assert await asyncio.gather(*asked) == marks

    @requirement("LLM-R4", since="1.1")
    async def test_provider_r4_options_for_another_provider_are_refused(self) -> None:
        """A section of ``provider_options`` that names another provider is InvalidRequest, before anything is sent.

        If this fails: a misspelt name drops options in silence.
        """
        async with self.serving(Answer()) as served:
            with pytest.raises(InvalidRequest) as caught:
                await served.provider.generate(asking(provider_options={"no-such-provider": {"seed": 1}}))
            assert caught.value.code == "provider_options_foreign"
            with pytest.raises(InvalidRequest):
                async with served.provider.stream(asking(provider_options={"no-such-provider": {}})):
                    pytest.fail("the stream was entered")
            assert served.sent() == []

    @requirement("LLM-R5", since="1.1")
    async def test_provider_r5_text_in_place_of_a_request_is_refused(self) -> None:
        """A str given to ``generate`` or ``stream`` is InvalidRequest, and the hint names ``generate_text``.

        If this fails: the most common mistake of a beginner ends in a traceback from within.
        """
        async with self.serving(Answer()) as served:
            with pytest.raises(InvalidRequest) as caught:
                await served.provider.generate("hello")
            assert "generate_text" in str(caught.value.hint)
            with pytest.raises(InvalidRequest):
                async with served.provider.stream("hello"):
                    pytest.fail("the stream was entered")
            assert served.sent() == []

    @requirement("LLM-R5b", since="1.1")
    async def test_provider_r5_short_shapes_send_what_they_are_given(self) -> None:
        """``generate_text`` sends its prompt, its system prompt and its limits.

        If this fails: the short way asks another question than the long one.
        """
        async with self.serving(Answer()) as served:
            response = await served.provider.generate_text("What of MARK-1?", system_prompt="MARK-2", max_tokens=77)
            assert response.text == Answer().text
            leaves = values_in(served.sent()[0])
        assert {"What of MARK-1?", "MARK-2", 77} <= {leaf for leaf in leaves if isinstance(leaf, str | int)}

    @requirement("LLM-COUNT", since="1.1")
    async def test_provider_counts_tokens(self) -> None:
        """Tokens are counted or estimated, which is said, and a longer request has more.

        If this fails: limits and budgets rest on nothing.
        """
        async with self.serving(Answer()) as served:
            counted = await served.provider.count_tokens(asking("Why? " * 50))
            assert counted.tokens > 0
            assert isinstance(counted.exact, bool)
            if not counted.exact:
                assert counted.tokens > (await served.provider.count_tokens(asking("Why?"))).tokens
                assert served.sent() == []
