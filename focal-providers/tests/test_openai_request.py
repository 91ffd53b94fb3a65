"""Focal's request as Responses and as Chat Completions take it, and what is refused because it has no place there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from focal_core.errors import InvalidRequest, SchemaUnsupported, UnsupportedFeature
from focal_core.providers.models import (
    CacheHint,
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    ResponseSchema,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_core.providers.schema import output_type
from focal_providers.llm import Wire
from focal_providers.openai.responses.request import counting_arguments
from focal_providers.openai.settings import OpenAIOptions
from focal_providers.openai.wires import ChatWire, ResponsesWire
from focal_providers.request import prepared

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
TOOL = ToolSpec(name="dig", description="Digs.", input_schema=SCHEMA)
CALL = ToolCallPart(id="c1", name="dig", arguments={"n": 1}, raw_arguments='{"n": 1}')
RESPONSES, CHAT = ResponsesWire(), ChatWire("max_completion_tokens")
OPTIONS = OpenAIOptions(model="configured")
PNG = "data:image/png;base64,iVBORw=="
IMAGE = ImagePart(data=b"\x89PNG", media_type="image/png")
FUNCTION = {"name": "dig", "description": "Digs.", "parameters": SCHEMA}
FORMAT = {"name": "N", "schema": SCHEMA, "strict": True}


def asked(*messages: LLMMessage, **fields: Any) -> LLMRequest:
    return LLMRequest(messages=messages or (LLMMessage(role="user", content="hi"),), **fields)


def sent(wire: Wire, request: LLMRequest, *, cache: bool = True, options: OpenAIOptions = OPTIONS) -> dict[str, Any]:
    filled = prepared(request, "openai", options, lambda model: options.capabilities_of(model, wire.known))
    return wire.arguments(filled, cache=cache)


def test_provider_r2_a_plain_request_is_model_messages_and_max_tokens() -> None:
    """What is None is not sent; nothing is kept at the vendor's."""
    assert sent(RESPONSES, asked()) == {
        "model": "configured",
        "max_output_tokens": 4096,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "store": False,
    }
    assert sent(CHAT, asked()) == {
        "model": "configured",
        "max_completion_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert sent(ChatWire("max_tokens"), asked(max_tokens=5))["max_tokens"] == 5


SHARED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "other"}, {"model": "other"}),
    ({"temperature": 0.0}, {"temperature": 0.0}),
    ({"top_p": 0.5}, {"top_p": 0.5}),
    ({"tool_choice": "none"}, {"tool_choice": "none"}),
    ({"tool_choice": "required"}, {"tool_choice": "required"}),
    ({"cache": CacheHint()}, {}),
    ({"cache": CacheHint(key="k")}, {"prompt_cache_key": "k"}),
    ({"end_user": "u1"}, {"safety_identifier": "u1"}),
    ({"metadata": {"trace": "t"}}, {}),
    ({"provider_options": {"openai": {"seed": 1, "headers": {"x-a": "b"}}}},
     {"extra_body": {"seed": 1}, "extra_headers": {"x-a": "b"}}),
]  # fmt: skip


def _named(value: Any) -> str | None:
    return "-".join(map(str, value)) if isinstance(value, dict) else None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        *SHARED,
        ({"system": "Be brief."}, {"instructions": "Be brief."}),
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"tools": (TOOL,)}, {"tools": [{"type": "function", **FUNCTION, "strict": True}]}),
        ({"tool_choice": SpecificTool(name="dig")}, {"tool_choice": {"type": "function", "name": "dig"}}),
        *(
            (
                {"effort": effort},
                {"reasoning": {"effort": effort}, "include": ["reasoning.encrypted_content"]},
            )
            for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
        ),
        (
            {"response_schema": ResponseSchema(name="N", schema=SCHEMA)},
            {"text": {"format": {"type": "json_schema", **FORMAT}}},
        ),
        (
            {"cache": CacheHint(ttl="long", key="k")},
            {"prompt_cache_key": "k", "prompt_cache_options": {"ttl": "12h"}},
        ),
    ],
    ids=_named,
)
def test_provider_r1_each_field_has_its_place_in_responses(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """The table of the request mapping; nothing else changes."""
    assert sent(RESPONSES, asked(**fields)) == {**sent(RESPONSES, asked()), **expected}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        *SHARED,
        (
            {"system": "Be brief."},
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]},
        ),
        ({"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"stop": ("a", "b", "c", "d")}, {"stop": ["a", "b", "c", "d"]}),
        ({"tools": (TOOL,)}, {"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]}),
        (
            {"tool_choice": SpecificTool(name="dig")},
            {"tool_choice": {"type": "function", "function": {"name": "dig"}}},
        ),
        *(
            ({"effort": effort}, {"reasoning_effort": effort})
            for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
        ),
        (
            {"response_schema": ResponseSchema(name="N", schema=SCHEMA)},
            {"response_format": {"type": "json_schema", "json_schema": FORMAT}},
        ),
        ({"cache": CacheHint(ttl="long", key="k")}, {"prompt_cache_key": "k"}),
    ],
    ids=_named,
)
def test_provider_r1_each_field_has_its_place_in_chat(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """The table of the request mapping; nothing else changes."""
    assert sent(CHAT, asked(**fields)) == {**sent(CHAT, asked()), **expected}


@pytest.mark.parametrize("wire", [RESPONSES, CHAT], ids=["responses", "chat"])
def test_advice_to_cache_is_not_sent_where_the_settings_deny_it(wire: Wire) -> None:
    """It is advice only."""
    hinted = asked(cache=CacheHint(ttl="long", key="k"))
    assert sent(wire, hinted, cache=False) == sent(wire, asked())


@pytest.mark.parametrize(
    ("part", "responses", "chat"),
    [
        (TextPart(text="t"), {"type": "input_text", "text": "t"}, {"type": "text", "text": "t"}),
        (
            IMAGE,
            {"type": "input_image", "detail": "auto", "image_url": PNG},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        (
            ImagePart(url="https://e.org/a.png"),
            {"type": "input_image", "detail": "auto", "image_url": "https://e.org/a.png"},
            {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}},
        ),
        (ImagePart(file_id="f"), {"type": "input_image", "detail": "auto", "file_id": "f"}, None),
        (
            FilePart(data=b"%PDF", media_type="application/pdf"),
            {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        ),
        (
            FilePart(file_id="f", name="a.pdf"),
            {"type": "input_file", "filename": "a.pdf", "file_id": "f"},
            {"type": "file", "file": {"filename": "a.pdf", "file_id": "f"}},
        ),
        (
            FilePart(url="https://e.org/a.pdf"),
            {"type": "input_file", "file_url": "https://e.org/a.pdf"},
            None,
        ),
    ],
    ids=["text", "image", "image_url", "image_id", "file", "file_id", "file_url"],
)
def test_provider_r1_each_part_has_its_form(part: Any, responses: dict[str, Any], chat: dict[str, Any] | None) -> None:
    """Attachments stand beside the text; what a wire has no form for is refused."""
    request = asked(LLMMessage(role="user", parts=(TextPart(text="See."), part)))
    assert sent(RESPONSES, request)["input"][0]["content"][1] == responses
    if chat is None:
        with pytest.raises(UnsupportedFeature):
            sent(CHAT, request)
    else:
        assert sent(CHAT, request)["messages"][0]["content"][1] == chat


def test_provider_r1_a_conversation_with_tools_keeps_its_order() -> None:
    """Text, calls and results go back as they came, errors wrapped, since no wire has another place for them."""
    said = LLMMessage(role="assistant", parts=(TextPart(text="I dig. "), TextPart(text="Now."), CALL))
    results = LLMMessage(
        role="tool",
        parts=(ToolResultPart(id="c1", content="deep"), ToolResultPart(id="c2", content="caved in", is_error=True)),
    )
    request = asked(LLMMessage(role="user", content="Dig."), said, results)
    assert sent(RESPONSES, request)["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "Dig."}]},
        {"role": "assistant", "content": "I dig. Now."},
        {"type": "function_call", "call_id": "c1", "name": "dig", "arguments": '{"n": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "deep"},
        {"type": "function_call_output", "call_id": "c2", "output": '{"error": "caved in"}'},
    ]
    function = {"name": "dig", "arguments": '{"n": 1}'}
    assert sent(CHAT, request)["messages"] == [
        {"role": "user", "content": "Dig."},
        {
            "role": "assistant",
            "content": "I dig. Now.",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "deep"},
        {"role": "tool", "tool_call_id": "c2", "content": '{"error": "caved in"}'},
    ]


@pytest.mark.parametrize("failed", [False, True], ids=["result", "error"])
def test_provider_r1_results_of_parts(failed: bool) -> None:
    """Responses takes text and images as results, Chat Completions text only."""
    text = ToolResultPart(id="c1", content=(TextPart(text="a"), TextPart(text="b")), is_error=failed)
    shown = ToolResultPart(id="c1", content=(TextPart(text="a"), IMAGE), is_error=failed)
    plain, image = (asked(LLMMessage(role="tool", parts=(part,))) for part in (text, shown))
    told = {"type": "input_text", "text": '{"error": "a"}' if failed else "a"}
    assert sent(RESPONSES, image)["input"][0]["output"] == [
        told,
        {"type": "input_image", "detail": "auto", "image_url": PNG},
    ]
    assert sent(CHAT, plain)["messages"][0]["content"] == ('{"error": "ab"}' if failed else "ab")
    with pytest.raises(UnsupportedFeature):
        sent(CHAT, image)


REASONING = {"id": "rs", "type": "reasoning", "summary": [], "encrypted_content": "c2Vh"}


def _thought(opaque: dict[str, Any], provider: str = "openai") -> ThinkingPart:
    return ThinkingPart(text="hm", opaque=opaque, provider=provider)


def test_provider_r6_thinking_goes_back_to_its_maker_only() -> None:
    """A reasoning item goes back as it came, and asks for the next one's seal; others' thinking is left out."""
    thoughts = (_thought(REASONING), _thought({"seal": 1}, "anthropic"))
    request = asked(LLMMessage(role="assistant", parts=(*thoughts, TextPart(text="So."))))
    assert sent(RESPONSES, request)["input"] == [REASONING, {"role": "assistant", "content": "So."}]
    assert sent(RESPONSES, request)["include"] == ["reasoning.encrypted_content"]
    assert sent(CHAT, request)["messages"] == [{"role": "assistant", "content": "So."}]


@pytest.mark.parametrize("opaque", [{}, {"id": "rs", "type": "reasoning", "summary": []}], ids=["empty", "id_only"])
def test_thinking_that_the_vendor_could_not_look_up_is_left_out(opaque: dict[str, Any]) -> None:
    """With nothing kept there, an item without its content names something that does not exist."""
    request = asked(LLMMessage(role="assistant", parts=(_thought(opaque), TextPart(text="So."))))
    assert sent(RESPONSES, request)["input"] == [{"role": "assistant", "content": "So."}]
    assert "include" not in sent(RESPONSES, request)


def test_the_phase_of_a_text_goes_back_with_it() -> None:
    """Newer models answer worse without the mark that they put on what they said before."""
    parts = (_thought({"phase": "commentary"}), TextPart(text="I look."), CALL, TextPart(text="Done."))
    request = asked(LLMMessage(role="assistant", parts=parts))
    first, _, last = sent(RESPONSES, request)["input"]
    assert first == {"role": "assistant", "content": "I look.", "phase": "commentary"}
    assert last == {"role": "assistant", "content": "Done."}


SAID_IMAGE = asked(LLMMessage(role="assistant", parts=(IMAGE,)))
CALLED_BY_USER = asked(LLMMessage(role="user", parts=(CALL,)))


@pytest.mark.parametrize(
    ("wire", "request_"),
    [
        (RESPONSES, asked(stop=("a",))),
        (RESPONSES, SAID_IMAGE),
        (CHAT, asked(stop=tuple("abcde"))),
        (CHAT, SAID_IMAGE),
        (CHAT, CALLED_BY_USER),
    ],
    ids=["responses_stop", "responses_image_said", "chat_stops", "chat_image_said", "chat_call_of_the_user"],
)
def test_provider_r1_what_has_no_place_is_refused(wire: Wire, request_: LLMRequest) -> None:
    """It is never dropped."""
    with pytest.raises(UnsupportedFeature) as caught:
        sent(wire, request_)
    assert (caught.value.provider, caught.value.model) == ("openai", "configured")


def test_stop_sequences_name_the_wire_that_has_them() -> None:
    """Settings cannot give Responses what it does not have."""
    options = OpenAIOptions.model_validate({"model": "m", "capabilities": {"m": {"stop": True}}})
    with pytest.raises(UnsupportedFeature) as caught:
        sent(RESPONSES, asked(stop=("a",)), options=options)
    assert "chat" in str(caught.value.hint)


@pytest.mark.parametrize("wire", [RESPONSES, CHAT], ids=["responses", "chat"])
def test_provider_r4_malformed_headers_are_refused(wire: Wire) -> None:
    """Headers are texts."""
    with pytest.raises(InvalidRequest):
        sent(wire, asked(provider_options={"openai": {"headers": {"x-a": 1}}}))


def test_counting_sends_what_counts() -> None:
    """The limit of the answer and where it is kept do not."""
    request = asked(system="s", tools=(TOOL,), effort="low", response_schema=ResponseSchema(name="N", schema=SCHEMA))
    counted = counting_arguments(sent(RESPONSES, request))
    assert counted.keys() == {"model", "input", "instructions", "tools", "reasoning", "text"}


class Burrow(BaseModel):
    depth: int = Field(ge=1, default=2)
    name: str = Field(min_length=3)


def test_provider_j2_what_strict_schemas_cannot_say_is_told_in_words() -> None:
    """Every field is required there; bounds of numbers are enforced, lengths of texts are not."""
    schema = output_type(Burrow).schema
    told = sent(CHAT, asked(response_schema=schema))["response_format"]["json_schema"]["schema"]
    assert told["required"] == ["depth", "name"]
    assert told["properties"]["depth"]["minimum"] == 1
    assert told["properties"]["name"] == {"type": "string", "description": '{"minLength": 3}'}
    assert told["additionalProperties"] is False


def test_provider_j1_a_schema_that_would_be_narrowed_is_refused() -> None:
    """Unless it is not to be enforced: then it goes as it is."""
    optional = {**SCHEMA, "required": []}
    for wire in (RESPONSES, CHAT):
        with pytest.raises(SchemaUnsupported):
            sent(wire, asked(response_schema=ResponseSchema(name="N", schema=optional)))
    loose = ResponseSchema(name="N", schema=optional, strict=False)
    expected = {"type": "json_schema", "name": "N", "schema": optional, "strict": False}
    assert sent(RESPONSES, asked(response_schema=loose))["text"]["format"] == expected


def test_provider_r3_a_request_is_not_changed() -> None:
    """What is sent is built anew."""
    request = asked(
        LLMMessage(role="assistant", parts=(_thought(REASONING), CALL)),
        tools=(TOOL,),
        provider_options={"openai": {"seed": 1}},
    )
    before = request.model_dump_json()
    for wire in (RESPONSES, CHAT):
        sent(wire, request)
    assert request.model_dump_json() == before
