"""Focal's request as Messages takes it, and what is refused because it has no place there."""

from __future__ import annotations

from base64 import b64encode
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
    ProviderCapabilities,
    ResponseSchema,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_core.providers.schema import output_type
from focal_providers.anthropic.request import arguments, counting_arguments
from focal_providers.anthropic.schema import output_schema
from focal_providers.anthropic.settings import AnthropicOptions
from focal_providers.request import prepared

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOL = ToolSpec(name="dig", description="Digs.", input_schema=SCHEMA)
OPTIONS = AnthropicOptions(model="configured")
CALL = ToolCallPart(id="c1", name="dig", arguments={"n": 1}, raw_arguments='{"n": 1}')


def asked(*messages: LLMMessage, **fields: Any) -> LLMRequest:
    return LLMRequest(messages=messages or (LLMMessage(role="user", content="hi"),), **fields)


def sent(request: LLMRequest, options: AnthropicOptions = OPTIONS) -> dict[str, Any]:
    able = ProviderCapabilities()
    return arguments(prepared(request, "anthropic", options, lambda model: options.capabilities_of(model, able)))


def test_provider_r2_a_plain_request_is_model_messages_and_max_tokens() -> None:
    """What is None is not sent; Messages demands ``max_tokens``, which the settings have."""
    assert sent(asked()) == {
        "model": "configured",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"system": "Be brief."}, {"system": "Be brief."}),
        ({"model": "other"}, {"model": "other"}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 0.0}, {"extra_body": {"temperature": 0.0}}),
        ({"top_p": 0.5}, {"extra_body": {"top_p": 0.5}}),
        ({"stop": ("a", "b")}, {"stop_sequences": ["a", "b"]}),
        (
            {"tools": (TOOL,)},
            {"tools": [{"name": "dig", "description": "Digs.", "input_schema": SCHEMA, "strict": True}]},
        ),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": SpecificTool(name="dig")}, {"tool_choice": {"type": "tool", "name": "dig"}}),
        ({"effort": "none"}, {"thinking": {"type": "disabled"}}),
        *(
            ({"effort": effort}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}})
            for effort in ("low", "medium", "high", "xhigh", "max")
        ),
        ({"cache": CacheHint()}, {"cache_control": {"type": "ephemeral", "ttl": "5m"}}),
        ({"cache": CacheHint(ttl="long", key="k")}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ({"end_user": "u1"}, {"metadata": {"user_id": "u1"}}),
        (
            {"response_schema": ResponseSchema(name="N", schema=SCHEMA)},
            {"output_config": {"format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}}},
        ),
        (
            {"effort": "low", "response_schema": ResponseSchema(name="N", schema=SCHEMA)},
            {
                "thinking": {"type": "adaptive"},
                "output_config": {
                    "effort": "low",
                    "format": {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}},
                },
            },
        ),
        ({"metadata": {"trace": "t"}}, {}),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_provider_r1_each_field_has_its_place(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """The table of the request mapping; nothing else changes."""
    assert sent(asked(**fields)) == {**sent(asked()), **expected}


IMAGE, PDF = b"\x89PNG", b"%PDF"
SEEN = ImagePart(file_id="f")


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (TextPart(text="t"), {"type": "text", "text": "t"}),
        (
            ImagePart(data=IMAGE, media_type="image/png"),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": b64encode(IMAGE).decode()},
            },
        ),
        (
            ImagePart(url="https://e.org/a.png"),
            {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
        ),
        (ImagePart(file_id="f1"), {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
        (
            FilePart(data=PDF, media_type="application/pdf", name="a.pdf"),
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": b64encode(PDF).decode()},
            },
        ),
        (
            FilePart(data="ä".encode(), media_type="text/plain"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä"}},
        ),
        (
            FilePart(url="https://e.org/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}},
        ),
        (FilePart(file_id="f2"), {"type": "document", "source": {"type": "file", "file_id": "f2"}}),
        (CALL, {"type": "tool_use", "id": "c1", "name": "dig", "input": {"n": 1}}),
        (
            ToolResultPart(id="c1", content="deep"),
            {"type": "tool_result", "tool_use_id": "c1", "content": "deep"},
        ),
        (
            ToolResultPart(id="c1", content=(TextPart(text="deep"), ImagePart(file_id="f1")), is_error=True),
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "is_error": True,
                "content": [
                    {"type": "text", "text": "deep"},
                    {"type": "image", "source": {"type": "file", "file_id": "f1"}},
                ],
            },
        ),
        (
            ThinkingPart(
                text="hm", opaque={"type": "thinking", "thinking": "hm", "signature": "s"}, provider="anthropic"
            ),
            {"type": "thinking", "thinking": "hm", "signature": "s"},
        ),
    ],
)
def test_provider_r1_each_part_has_its_block(part: Any, block: dict[str, Any]) -> None:
    """The table of content blocks."""
    assert sent(asked(LLMMessage(role="user", parts=(part,))))["messages"] == [{"role": "user", "content": [block]}]


def test_provider_r6_thinking_of_another_provider_is_left_out() -> None:
    """It goes back to its maker only."""
    foreign = ThinkingPart(text="hm", opaque={"x": 1}, provider="openai")
    said = LLMMessage(role="assistant", parts=(foreign, TextPart(text="t")))

    assert sent(asked(said))["messages"][0]["content"] == [{"type": "text", "text": "t"}]


def test_provider_r1_results_of_one_turn_are_one_message() -> None:
    """Results in messages of their own are joined; what the user says then stays a message."""
    results = [LLMMessage(role="tool", parts=(ToolResultPart(id=id, content=id),)) for id in ("c1", "c2")]
    user = LLMMessage(role="user", content="go on")
    messages = sent(asked(user, LLMMessage(role="assistant", parts=(CALL,)), *results, user))["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user"]
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["c1", "c2"]


@pytest.mark.parametrize(
    "request_",
    [
        asked(effort="minimal"),
        asked(LLMMessage(role="user", parts=(FilePart(data=b"x", media_type="text/csv"),))),
        asked(LLMMessage(role="user", parts=(FilePart(data=b"\xff", media_type="text/plain"),))),
        asked(LLMMessage(role="user", parts=(FilePart(url="https://e.org/a.csv", media_type="text/csv"),))),
        asked(
            LLMMessage(role="assistant", parts=(ToolCallPart(id="c", name="d", arguments=None, raw_arguments="[1"),))
        ),
    ],
    ids=["minimal", "csv", "not_utf8", "url_of_csv", "broken_call"],
)
def test_provider_r1_what_has_no_place_is_refused(request_: LLMRequest) -> None:
    """Never dropped, never narrowed."""
    with pytest.raises(UnsupportedFeature) as caught:
        sent(request_)
    assert caught.value.model == "configured"
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("capability", "fields"),
    [
        ("tools", {"tools": (TOOL,)}),
        ("structured_output", {"response_schema": ResponseSchema(name="N", schema=SCHEMA)}),
        ("temperature", {"temperature": 0.5}),
        ("top_p", {"top_p": 0.5}),
        ("stop", {"stop": ("x",)}),
        ("effort", {"effort": "low"}),
        ("images", {"messages": (LLMMessage(role="user", parts=(ImagePart(file_id="f"),)),)}),
        (
            "images",
            {
                "messages": (
                    LLMMessage(role="tool", parts=(ToolResultPart(id="c", content=(ImagePart(file_id="f"),)),)),
                )
            },
        ),
        ("files", {"messages": (LLMMessage(role="user", parts=(FilePart(file_id="f"),)),)}),
    ],
)
def test_provider_r1_what_the_settings_deny_is_refused(capability: str, fields: dict[str, Any]) -> None:
    """A capability of a model that is False refuses locally; None, which is unknown, is sent."""
    denied = AnthropicOptions.model_validate({"model": "m", "capabilities": {"m": {capability: False}}})
    request = asked().model_copy(update=fields)

    sent(request, AnthropicOptions(model="m"))
    with pytest.raises(UnsupportedFeature, match=capability.replace("_", " ")):
        sent(request, denied)


def test_provider_r1_a_configured_temperature_is_sent_unless_the_request_has_one() -> None:
    """The settings fill what a request leaves None."""
    warm = AnthropicOptions(model="m", temperature=0.7)

    assert sent(asked(), warm)["extra_body"] == {"temperature": 0.7}
    assert sent(asked(temperature=0.1), warm)["extra_body"] == {"temperature": 0.1}


def test_provider_r4_own_options_go_last_and_headers_apart() -> None:
    """The section is merged over everything; its ``headers`` are headers."""
    section = {"temperature": 1.0, "service_tier": "auto", "headers": {"anthropic-beta": "x"}}
    arguments_ = sent(asked(temperature=0.2, provider_options={"anthropic": section}))

    assert arguments_["extra_body"] == {"temperature": 1.0, "service_tier": "auto"}
    assert arguments_["extra_headers"] == {"anthropic-beta": "x"}
    with pytest.raises(InvalidRequest):
        sent(asked(provider_options={"anthropic": {"headers": ["x"]}}))


def test_counting_sends_what_counts() -> None:
    """Tokens are counted of what a request says, not of how it is to be answered."""
    request = asked(system="s", tools=(TOOL,), stop=("x",), temperature=0.5, end_user="u", effort="low")

    assert set(counting_arguments(sent(request))) == {
        "messages",
        "model",
        "system",
        "tools",
        "thinking",
        "output_config",
    }


def test_provider_r3_a_request_is_not_changed() -> None:
    """Not even deep inside."""
    call = LLMMessage(role="assistant", parts=(CALL,))
    result = LLMMessage(role="tool", parts=(ToolResultPart(id="c1", content="deep"),))
    request = asked(LLMMessage(role="user", content="hi"), call, result, result, tools=(TOOL,))
    before = request.model_dump_json()

    sent(request)["messages"][1]["content"].append("changed")

    assert request.model_dump_json() == before


class Inner(BaseModel):
    depth: int = Field(ge=1, le=9, description="Metres.")
    name: str = Field(pattern="^a", max_length=5)


class Outer(BaseModel):
    inner: Inner
    more: list[Inner] | None = None
    kind: str = "x"


def test_provider_j2_constraints_are_told_in_words_and_objects_are_closed() -> None:
    """Every object is closed, alternatives stay, bounds move into descriptions, nothing else is lost."""
    schema = output_schema(output_type(Outer).schema.schema)
    inner = schema["$defs"]["Inner"]

    assert schema["additionalProperties"] is inner["additionalProperties"] is False
    assert inner["properties"]["depth"] == {
        "type": "integer",
        "title": "Depth",
        "description": 'Metres.\n\n{"maximum": 9, "minimum": 1}',
    }
    assert inner["properties"]["name"]["description"] == '{"maxLength": 5, "pattern": "^a"}'
    assert schema["required"] == ["inner"]
    assert schema["properties"]["more"]["anyOf"] == [
        {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
        {"type": "null"},
    ]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "object"}, "$"),
        ({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": True}}}, "$.a"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": True}}}, "$.a[]"),
    ],
)
def test_provider_j1_an_open_object_is_refused(schema: dict[str, Any], path: str) -> None:
    """It could only come back empty."""
    with pytest.raises(SchemaUnsupported) as caught:
        output_schema(schema)
    assert caught.value.path == path
