from __future__ import annotations

import pytest
from pydantic import ValidationError

from focal_core.errors import InvalidRequest
from focal_core.providers.models import (
    CallOptions,
    EmbeddingSpec,
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    RerankResult,
    ResponseSchema,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_core.providers.tokens import estimate_text
from focal_core.usage import TokenUsage

USER = LLMMessage(role="user", content="hi")


def full_request() -> LLMRequest:
    return LLMRequest(
        messages=(
            LLMMessage(
                role="user",
                parts=(
                    TextPart(text="look"),
                    ImagePart(data=b"\x89PNG\xff", media_type="image/png"),
                    FilePart(file_id="f1", name="a.pdf"),
                ),
            ),
            LLMMessage(
                role="assistant",
                parts=(
                    ThinkingPart(text="", opaque={"sig": [1, 2]}, provider="scripted"),
                    ToolCallPart(id="c1", name="look_up", arguments={"q": 1.0}, raw_arguments='{"q":1.0}'),
                    ToolCallPart(id="c2", name="look_up", arguments=None, raw_arguments="{oops"),
                ),
            ),
            LLMMessage(role="tool", parts=(ToolResultPart(id="c1", content=(TextPart(text="found"),)),)),
        ),
        system="be brief",
        model="m",
        max_tokens=5,
        temperature=0.5,
        stop=("END",),
        tools=(ToolSpec(name="look_up", description="d", input_schema={"type": "object"}),),
        tool_choice=SpecificTool(name="look_up"),
        effort="low",
        response_schema=ResponseSchema(name="s", schema={"type": "object"}),
        metadata={"trace": "1"},
        provider_options={"scripted": {"extra_body": {"x": 1}}},
    )


def test_a_request_with_every_kind_of_part_survives_json() -> None:
    """Models round trip through JSON, bytes included (PROVIDERS 2.1)."""
    request = full_request()

    assert LLMRequest.model_validate_json(request.model_dump_json()) == request


def test_requests_are_frozen_and_refuse_unknown_fields() -> None:
    """A misspelt field is an error, and nobody can change a request under way (R3)."""
    with pytest.raises(ValidationError):
        LLMRequest(messages=(USER,), temprature=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        full_request().max_tokens = 3  # type: ignore[misc]


def test_leading_system_messages_of_dicts_become_the_system_text() -> None:
    """System messages at the start of a list of dicts are moved to ``system``, behind one given there."""
    request = LLMRequest.model_validate(
        {
            "system": "zero",
            "messages": [
                {"role": "system", "content": "one"},
                {"role": "system", "content": "two"},
                {"role": "user", "content": "hi"},
            ],
        }
    )

    assert request.system == "zero\n\none\n\ntwo"
    assert request.messages == (USER,)


def test_a_system_message_behind_others_is_refused() -> None:
    """A later system message is InvalidRequest, not silently moved."""
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": "late"}]

    with pytest.raises(InvalidRequest) as caught:
        LLMRequest.model_validate({"messages": messages})

    assert caught.value.code == "system_not_first"


def test_a_request_needs_a_message() -> None:
    """``messages`` holds at least one message that is not the system's."""
    with pytest.raises(ValidationError):
        LLMRequest.model_validate({"messages": [{"role": "system", "content": "alone"}]})


def test_text_and_tool_calls_of_a_message_keep_their_order() -> None:
    """``text`` is all text parts in order; tool calls keep order and ids (R8)."""
    calls = [ToolCallPart(id=id, name="t", arguments={}, raw_arguments="{}") for id in ("b", "a")]
    message = LLMMessage(role="assistant", parts=(TextPart(text="x"), calls[0], TextPart(text="y"), calls[1]))
    response = LLMResponse(message=message, model="m", provider="p")

    assert (response.text, response.content) == ("xy", "xy")
    assert [call.id for call in response.tool_calls] == ["b", "a"]


@pytest.mark.parametrize("fields", [{}, {"url": "https://x", "file_id": "f"}, {"data": b"x"}])
def test_an_image_has_exactly_one_source(fields: dict[str, object]) -> None:
    """Bytes, URL or file id: one of them, and bytes with their media type."""
    with pytest.raises(ValidationError):
        ImagePart.model_validate(fields)


@pytest.mark.parametrize(("written", "read"), [("tool_use", "tool_calls"), ("max_tokens", "length"), ("stop", "stop")])
def test_finish_reasons_of_other_vocabularies_are_read(written: str, read: str) -> None:
    """``tool_use`` and ``max_tokens`` are aliases."""
    response = LLMResponse.model_validate(
        {"message": {"role": "assistant", "content": ""}, "model": "m", "provider": "p", "finish_reason": written}
    )

    assert response.finish_reason == read


def test_the_raw_object_is_neither_shown_nor_dumped() -> None:
    """``raw`` stays out of repr and dump."""
    response = LLMResponse(message=USER, model="m", provider="p", raw=object())

    assert "raw" not in repr(response)
    assert "raw" not in response.model_dump()


def test_usage_adds_up_and_its_total_is_checked() -> None:
    """The total is the sum by default, never less; ``+`` sums every field; aliases are read."""
    first = TokenUsage(input_tokens=3, output_tokens=4, cache_read_tokens=1, reasoning_tokens=2)  # type: ignore[call-arg]
    second = TokenUsage(prompt_tokens=10, total_tokens=11, reported=False)

    assert first.total_tokens == 7
    assert (first + second).model_dump() == {
        "prompt_tokens": 13,
        "completion_tokens": 4,
        "total_tokens": 18,
        "cache_read_tokens": 1,
        "cache_write_tokens": 0,
        "reasoning_tokens": 2,
        "requests": 2,
        "reported": True,
    }
    with pytest.raises(ValidationError):
        TokenUsage(prompt_tokens=3, completion_tokens=4, total_tokens=6)


@pytest.mark.parametrize("field", ["deadline", "attempt_timeout", "idle_timeout", "max_attempts"])
def test_a_limit_of_zero_is_refused(field: str) -> None:
    """Limits are positive; None is how a limit is left out."""
    with pytest.raises(ValidationError):
        CallOptions.model_validate({field: 0})


def test_fingerprints_differ_by_model_size_and_normalisation_only() -> None:
    """The fingerprint names the space: model, dimensions, normalized."""
    spec = EmbeddingSpec(model="m", dimensions=3, normalized=True)
    others = [spec.model_copy(update=change) for change in ({"model": "n"}, {"dimensions": 4}, {"normalized": False})]

    assert len({one.fingerprint for one in (spec, *others)}) == 4
    assert spec.model_copy(update={"max_batch": 7}).fingerprint == spec.fingerprint
    assert len(spec.fingerprint) == 16


def test_a_rerank_result_offers_its_document_as_text() -> None:
    """``text`` is an alias of ``document``."""
    assert RerankResult(index=0, score=0.5, document="d").text == "d"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("Where is my order? It should have come yesterday.", 9, 16),
        ("Wo bleibt meine Bestellung? Sie hätte gestern kommen müssen.", 11, 22),
        ("我的订单在哪里?它昨天就应该到了。", 11, 22),
        ("私の注文はどこですか。昨日届くはずでした。", 14, 28),
        ("Где мой заказ? Он должен был прийти вчера.", 10, 30),
    ],
)
def test_estimates_of_tokens_are_of_the_right_size_in_several_scripts(text: str, least: int, most: int) -> None:
    """Limits and batches are reckoned with them, so a text of another script must not count for a quarter of itself."""
    assert least <= estimate_text(text) <= most
