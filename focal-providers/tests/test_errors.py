"""What vendors' errors mean, and what of them may be shown."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
import pytest_asyncio

from focal_core.errors import (
    AttemptTimeout,
    AuthenticationFailed,
    ConnectionFailed,
    ContentFiltered,
    ContentTooLarge,
    ContextTooLong,
    InvalidRequest,
    MalformedResponse,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    ServerError,
    UnsupportedFeature,
)
from focal_core.settings import FocalSettings
from focal_providers.anthropic.settings import AnthropicClient, AnthropicOptions
from focal_providers.client import SDKClient
from focal_providers.errors import SHARED, Errors, Told, cut

KEY = "sk-ant-quokka-0123456789-secret"
PROMPT = "Does the wombat of Cradle Mountain dig its burrow at night?"
REQUEST = httpx2.Request("POST", "https://api.example/v1/messages")


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (Told(400, "invalid_request_error", "", "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong),
        (Told(400, "invalid_request_error", "context_length_exceeded"), ContextTooLong),
        (Told(400, "exceed_context_size_error"), ContextTooLong),
        (Told(400, "invalid_request_error", "content_policy_violation"), ContentFiltered),
        (Told(400, "", "content_filter"), ContentFiltered),
        (Told(400, "", "", "`temperature` is not supported by this model"), UnsupportedFeature),
        (Told(400, "", "unsupported_value", "Unsupported value: 'top_p' does not support 0.5"), UnsupportedFeature),
        (Told(400, "", "", "`temperature` is deprecated for this model."), UnsupportedFeature),
        (Told(400, "", "", "temperature: range: 0..1"), InvalidRequest),
        (Told(400, "invalid_request_error"), InvalidRequest),
        (Told(405), InvalidRequest),
        (Told(415), InvalidRequest),
        (Told(422), InvalidRequest),
        (Told(401, "authentication_error"), AuthenticationFailed),
        (Told(403, "permission_error"), PermissionDenied),
        (Told(404, "not_found_error", "", "model: claude-none"), ModelNotFound),
        (Told(404, "", "model_not_found"), ModelNotFound),
        (Told(404, "not_found_error", "", "Not Found"), InvalidRequest),
        (Told(404), InvalidRequest),
        (Told(402), QuotaExceeded),
        (Told(429, "insufficient_quota", "insufficient_quota"), QuotaExceeded),
        (Told(400, "billing_error"), QuotaExceeded),
        (Told(403, "", "credit_balance_too_low"), QuotaExceeded),
        (Told(429, "", "workspace_spend_limit_reached"), QuotaExceeded),
        (Told(408), AttemptTimeout),
        (Told(409), ServerError),
        (Told(413, "request_too_large"), ContentTooLarge),
        (Told(429), RateLimited),
        (Told(400, "", "ramp_limit_exceeded"), RateLimited),
        (Told(500, "rate_limit_error"), RateLimited),
        (Told(500, "api_error"), ServerError),
        (Told(500, "overloaded_error"), Overloaded),
        (Told(503, "server_error"), Overloaded),
        (Told(529), Overloaded),
        (Told(501, "api_error"), UnsupportedFeature),
        (Told(505), UnsupportedFeature),
        (Told(502), ServerError),
        (Told(520), ServerError),
        (Told(301), MalformedResponse),
        (Told(307), MalformedResponse),
        # Inside a reply whose status is good.
        (Told(None, "overloaded_error"), Overloaded),
        (Told(None, "rate_limit_error"), RateLimited),
        (Told(None, "api_error"), ServerError),
        (Told(None, "", "vector_store_timeout"), ServerError),
        (Told(None, "", "bio_policy"), ContentFiltered),
        (Told(None, "", "invalid_prompt"), InvalidRequest),
        (Told(None, "", "image_too_large"), InvalidRequest),
        (Told(None, "authentication_error"), AuthenticationFailed),
        (Told(None, "not_found_error", "", "model: none"), ModelNotFound),
        (Told(None, "", "code_of_tomorrow"), ServerError),
    ],
    ids=str,
)
def test_each_answer_has_its_error(told: Told, kind: type[ProviderError]) -> None:
    """By status, then type, then code; the table of errors."""
    assert told.meaning() is kind


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"type": "error", "error": {"type": "t", "message": "m", "details": {"error_code": "c"}}},
            Told(kind="t", code="c", message="m"),
        ),
        ({"error": {"type": "t", "code": "c", "message": "m"}}, Told(kind="t", code="c", message="m")),
        ({"type": "t", "code": "c", "message": "m"}, Told(kind="t", code="c", message="m")),
        ({"error": "m"}, Told(message="m")),
        ({"error": {"type": 5, "code": 6, "message": None, "details": []}}, Told()),
        ({"error": None}, Told()),
        ([1], Told()),
        (None, Told()),
        ("<html>", Told()),
    ],
)
def test_an_error_body_is_read_whatever_it_is(body: object, told: Told) -> None:
    """Both vendors' shapes; what is not text was not said."""
    assert Told.of(body) == told


def test_provider_x2_what_a_message_shares_with_the_request_is_cut() -> None:
    """Runs of 24 characters or more, wherever they begin; shorter ones stay."""
    assert cut(f"you asked {PROMPT!r}, no", PROMPT) == "you asked '…', no"
    assert cut(PROMPT, PROMPT) == "…"
    assert cut(PROMPT[: SHARED - 1], PROMPT) == PROMPT[: SHARED - 1]
    for start in range(len(PROMPT) - SHARED):
        assert cut(f"x{PROMPT[start : start + SHARED]}y", PROMPT) == "x…y"
    assert cut("", PROMPT) == ""
    assert cut("short", "") == "short"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[SDKClient]:
    opened = AnthropicClient(
        AnthropicOptions.model_validate({"model": "m", "api_key": KEY, "headers": {"x-gate": "g8s"}})
    )
    await opened.open()
    yield opened
    await opened.close()


def refused(status: int, body: Any, **headers: str) -> anthropic.APIStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, json=body, headers=named, request=REQUEST)
    return anthropic.APIStatusError(f"Error code: {status} - {body}", response=response, body=body)


@pytest.mark.asyncio
async def test_provider_x2_neither_the_error_nor_its_cause_shows_key_or_prompt(client: SDKClient) -> None:
    """A vendor may echo both; the whole stays in ``vendor_message`` and nowhere else."""
    message = f"key {KEY} of gate g8s may not ask: {PROMPT}"
    cause = refused(400, {"error": {"type": "invalid_request_error", "message": message}}, request_id="r1")

    advice = Errors(client).advice(cause, {"messages": [{"content": [{"text": PROMPT}]}]})

    assert advice is not None
    error = advice.error
    assert type(error) is InvalidRequest
    assert str(error) == "anthropic answered 400 invalid_request_error: key *** of gate *** may not ask: …"
    assert str(cause) == str(error)
    assert error.vendor_message == message
    assert (error.status, error.request_id, error.vendor_code) == (400, "r1", "invalid_request_error")
    assert KEY not in repr(error) + repr(cause)
    assert pickle.loads(pickle.dumps(error)).vendor_message == message


@pytest.mark.asyncio
async def test_a_long_secret_is_masked_before_the_message_is_shortened(client: SDKClient) -> None:
    """A key that crosses the end of what is shown is not shown in part."""
    cause = refused(400, {"error": {"message": "x" * 255 + KEY}})
    advice = Errors(client).advice(cause, ())

    assert advice is not None
    assert KEY[:6] not in str(advice.error)


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "invalid bearer token", "ANTHROPIC_API_KEY"),
        (403, "no", "ANTHROPIC_API_KEY"),
        (404, "model: none", "name of the model"),
        (404, "Not Found", "base_url"),
        (307, "", "base_url"),
        (402, "", "billing"),
        (400, "`temperature` is not supported", "capabilities"),
        (400, "no", None),
        (500, "no", None),
    ],
)
@pytest.mark.asyncio
async def test_an_error_says_what_to_do(status: int, message: str, hint: str | None) -> None:
    """A refused key names the variable it was taken from."""
    settings = FocalSettings.load(
        {"backends": {"claude": {"use": "anthropic", "model": "m"}}}, environ={"ANTHROPIC_API_KEY": KEY}
    )
    options = settings.backend_options("claude", AnthropicOptions)
    assert isinstance(options, AnthropicOptions)
    opened = AnthropicClient(options)
    await opened.open()
    advice = Errors(opened).advice(refused(status, {"error": {"message": message}}), ())
    await opened.close()

    assert advice is not None
    assert advice.error.hint is None if hint is None else hint in str(advice.error.hint)


def lost(cause: Exception | None) -> anthropic.APIConnectionError:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (anthropic.APITimeoutError(REQUEST), AttemptTimeout, True),
        (httpx2.ReadTimeout("t"), AttemptTimeout, True),
        (lost(httpx2.ConnectError("refused")), ConnectionFailed, True),
        (lost(httpx2.RemoteProtocolError("cut")), ConnectionFailed, True),
        (httpx2.RemoteProtocolError("cut"), ConnectionFailed, True),
        (httpx2.ReadError("reset"), ConnectionFailed, True),
        (lost(httpx2.DecodingError("gzip")), MalformedResponse, False),
        (ConnectionResetError(), ConnectionFailed, True),
        (refused(529, {}), Overloaded, True),
        (refused(200, {"error": {"type": "overloaded_error"}}), Overloaded, True),
        (refused(200, {"error": {"type": "error_of_tomorrow"}}), ServerError, False),
        (refused(429, {}, x_should_retry="false"), RateLimited, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.asyncio
async def test_each_exception_has_its_error(
    client: SDKClient, error: Exception, kind: type[ProviderError], retryable: bool
) -> None:
    """Of the SDK and of its HTTP client, wrapped and raw."""
    advice = Errors(client).advice(error, ())

    assert advice is not None
    assert (type(advice.error), advice.retryable, advice.error.provider) == (kind, retryable, "anthropic")


@pytest.mark.asyncio
async def test_provider_x1_a_bug_is_no_failure_of_the_server(client: SDKClient) -> None:
    """An exception of our own is not translated, and what the SDK wrapped comes out as itself."""
    errors = Errors(client)

    assert errors.advice(KeyError("ours"), ()) is None
    assert errors.advice(lost(KeyError("ours")), ()) is None
    with pytest.raises(KeyError, match="ours"), errors.unwrapping():
        raise lost(KeyError("ours"))
    with pytest.raises(anthropic.APIConnectionError), errors.unwrapping():
        raise lost(httpx2.ConnectError("refused"))


@pytest.mark.asyncio
async def test_provider_x4_a_connection_lost_by_closing_says_so(client: SDKClient) -> None:
    """Not a network to blame, and nothing to retry."""
    await client.close()
    for error in (lost(httpx2.ReadError("closed")), lost(RuntimeError("the client has been closed"))):
        advice = Errors(client).advice(error, ())

        assert advice is not None
        assert (advice.error.code, advice.retryable) == ("closed", False)
