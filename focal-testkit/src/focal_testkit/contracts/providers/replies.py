"""Faults that come as a complete reply: error statuses, redirects, replies that are none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from typing import Any

from focal_core.errors import (
    AttemptTimeout,
    AuthenticationFailed,
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
from focal_testkit.contracts.providers.fault_case import (
    ASKED,
    EVERY,
    KEY,
    PROMPT,
    WHOLE,
    FaultCase,
    Mode,
    Outcome,
    Wire,
    limits,
    only,
    refused,
    then_good,
)
from focal_testkit.faults.wire import Close, Exchange, Send, chunk, json_reply, reply
from focal_testkit.faults.wire_dialect import ANSWERED_MODEL, REQUEST_ID

HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
OPENAI = frozenset({"openai-responses", "openai-chat", "openai-embeddings"})


def _retry_after(expected: float) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert isinstance(outcome.error, ProviderError)
        assert outcome.error.retry_after is not None
        assert outcome.error.retry_after == expected or abs(outcome.error.retry_after - expected) <= 5.0
        assert outcome.elapsed < 1.0

    return check


def _waited(least: float) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert outcome.result.attempts[1].waited >= least
        assert outcome.server.calls[1].at - outcome.server.calls[0].at >= least - 0.01

    return check


def _date(**ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


def _told(outcome: Outcome) -> None:
    """The vendor's own words and id are kept, and the status."""
    assert isinstance(outcome.error, ProviderError)
    assert outcome.error.request_id == REQUEST_ID
    assert outcome.error.status is not None
    assert outcome.error.vendor_message
    assert all(attempt.request_id == REQUEST_ID for attempt in outcome.error.attempts)
    assert all(attempt.status == outcome.error.status for attempt in outcome.error.attempts)


def _hints_base_url(outcome: Outcome) -> None:
    assert isinstance(outcome.error, ProviderError)
    assert "base_url" in (outcome.error.hint or "")
    assert outcome.elsewhere.requests == []


def _rate_limit_state(outcome: Outcome) -> None:
    state = outcome.result.rate_limit
    assert (state.requests_limit, state.requests_remaining) == (100, 7)
    assert (state.tokens_limit, state.tokens_remaining) == (9000, 800)
    assert state.requests_reset_at is not None
    assert state.tokens_reset_at is not None


def _answered(outcome: Outcome) -> None:
    assert outcome.result.model == ANSWERED_MODEL
    assert outcome.result.request_id == REQUEST_ID


def _echo(wire: Wire) -> Exchange:
    status, body = wire.dialect.error("invalid_request")
    body["error"]["message"] = f"key {KEY} may not ask {PROMPT!r}"
    return (json_reply(status, body),)


def _redirect(target: Callable[[Wire], str]) -> Callable[[Wire], Exchange]:
    return lambda wire: (reply(307, b"", {"location": target(wire)}),)


def _plain(status: int, body: bytes, kind: str = "text/html", **headers: str) -> Callable[[Wire], Exchange]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda wire: (reply(status, body, {"content-type": kind, **named}),)


def _gzipped(wire: Wire) -> Exchange:
    body = gzip.compress(json.dumps(wire.dialect.body(wire.answer)).encode())
    return (reply(200, body, {"content-encoding": "gzip", **wire.dialect.headers()}),)


def _chunked(wire: Wire) -> Exchange:
    body = json.dumps(wire.dialect.body(wire.answer), ensure_ascii=False).encode()
    steps = [Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")]
    return [*steps, *(chunk(body[at : at + 1]) for at in range(len(body))), Send(b"0\r\n\r\n")]


def _hinted(early: bytes) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        good = wire.good()
        return (lambda request: (Send(early), *good(request))) if callable(good) else (Send(early), *good)

    return exchange


def _closed(wire: Wire) -> Exchange:
    good = wire.good()
    return (lambda request: (*good(request), Close())) if callable(good) else (*good, Close())


def _tried_then_good(**headers: str) -> Callable[[Wire], Sequence[Exchange]]:
    return then_good(refused("rate_limited", status=None, **headers))


_LONG: frozenset[Mode] = frozenset({"generate"})

_STATUSES: tuple[FaultCase, ...] = (
    FaultCase("rate_limited", only(refused("rate_limited", retry_after_ms="5")), RateLimited, attempts=2, check=_told),
    FaultCase("rate_limited_then_good", _tried_then_good(retry_after_ms="5"), attempts=2),
    FaultCase("retry_after_milliseconds", _tried_then_good(retry_after_ms="120"), attempts=2, check=_waited(0.12)),
    FaultCase("retry_after_seconds", _tried_then_good(retry_after="1"), attempts=2, check=_waited(1.0), modes=_LONG),
    FaultCase("retry_after_fraction", _tried_then_good(retry_after="0.1"), attempts=2, check=_waited(0.1)),
    FaultCase(
        "retry_after_date",
        # Reckoned when the request has come, however long the client took to send it.
        lambda wire: [lambda _: wire.dialect.refused("rate_limited", retry_after=_date(seconds=2)), wire.good()],
        attempts=2,
        check=_waited(0.9),
        modes=_LONG,
    ),
    FaultCase(
        "retry_after_past_date",
        lambda wire: [wire.dialect.refused("rate_limited", retry_after=_date(hours=-1)), wire.good()],
        attempts=2,
    ),
    FaultCase(
        "retry_after_far_date",
        lambda wire: [wire.dialect.refused("rate_limited", retry_after=_date(hours=1))],
        RateLimited,
        check=_retry_after(3600.0),
    ),
    FaultCase(
        "retry_after_an_hour",
        only(refused("rate_limited", retry_after="3600")),
        RateLimited,
        check=_retry_after(3600.0),
    ),
    FaultCase(
        "retry_after_an_hour_in_milliseconds",
        only(refused("rate_limited", retry_after_ms="3600000")),
        RateLimited,
        check=_retry_after(3600.0),
    ),
    FaultCase(
        "retry_after_milliseconds_go_first", _tried_then_good(retry_after_ms="5", retry_after="3600"), attempts=2
    ),
    FaultCase(
        "retry_after_unbounded",
        only(refused("rate_limited", retry_after="1e999")),
        RateLimited,
        check=_retry_after(inf),
    ),
    FaultCase("retry_after_nan", _tried_then_good(retry_after="nan"), attempts=2),
    FaultCase("retry_after_negative", _tried_then_good(retry_after="-30"), attempts=2),
    FaultCase("retry_after_text", _tried_then_good(retry_after="soon"), attempts=2),
    FaultCase("retry_after_empty", _tried_then_good(retry_after=""), attempts=2),
    FaultCase(
        "retry_after_beyond_the_deadline",
        only(refused("rate_limited", retry_after="20")),
        RateLimited,
        options=limits(deadline=3.0),
        check=_retry_after(20.0),
    ),
    FaultCase(
        "retry_after_beyond_the_callers_cap",
        only(refused("rate_limited", retry_after="2")),
        RateLimited,
        options=limits(max_retry_after=1.0),
        check=_retry_after(2.0),
    ),
    FaultCase(
        "retry_after_of_an_overload",
        only(refused("overloaded", retry_after="3600")),
        Overloaded,
        check=_retry_after(3600.0),
    ),
    FaultCase("quota", only(refused("quota_exceeded")), QuotaExceeded, check=_told),
    FaultCase("quota_although_told_to_retry", only(refused("quota_exceeded", x_should_retry="true")), QuotaExceeded),
    FaultCase("should_not_retry", only(refused("rate_limited", x_should_retry="false")), RateLimited, retryable=False),
    FaultCase(
        "server_error_that_should_not_be_retried",
        only(refused("server_error", x_should_retry="false")),
        ServerError,
        retryable=False,
    ),
    FaultCase(
        "invalid_that_should_be_retried", then_good(refused("invalid_request", x_should_retry="true")), attempts=2
    ),
    FaultCase(
        "authentication_although_told_to_retry",
        only(refused("authentication_failed", x_should_retry="true")),
        AuthenticationFailed,
    ),
    FaultCase(
        "permission_although_told_to_retry", only(refused("permission_denied", x_should_retry="true")), PermissionDenied
    ),
    FaultCase("authentication", only(refused("authentication_failed")), AuthenticationFailed, check=_told),
    FaultCase("permission", only(refused("permission_denied")), PermissionDenied, check=_told),
    FaultCase("model_not_found", only(refused("model_not_found")), ModelNotFound, check=_told),
    FaultCase("nothing_at_the_address", only(_plain(404, HTML)), InvalidRequest, check=_hints_base_url),
    FaultCase(
        "context_too_long",
        only(refused("context_too_long")),
        ContextTooLong,
        check=_told,
    ),
    FaultCase("content_too_large", only(refused("content_too_large")), ContentTooLarge, check=_told),
    FaultCase("payload_refused_by_a_gateway", only(_plain(413, HTML)), ContentTooLarge),
    FaultCase("content_policy", only(refused("content_filtered")), ContentFiltered, wires=OPENAI, check=_told),
    FaultCase("temperature_not_taken", only(refused("unsupported_feature")), UnsupportedFeature),
    FaultCase("payment_required", only(_plain(402, b"{}", "application/json")), QuotaExceeded),
    FaultCase("invalid", only(refused("invalid_request")), InvalidRequest, check=_told),
    FaultCase("method_not_allowed", only(refused("invalid_request", status=405)), InvalidRequest),
    FaultCase("media_type_not_taken", only(refused("invalid_request", status=415)), InvalidRequest),
    FaultCase("unprocessable", only(refused("invalid_request", status=422)), InvalidRequest),
    FaultCase("request_timeout", only(refused("server_error", status=408)), AttemptTimeout, attempts=2),
    FaultCase("conflict", only(refused("server_error", status=409)), ServerError, attempts=2),
    FaultCase("server_error", only(refused("server_error")), ServerError, attempts=2, check=_told),
    FaultCase("server_error_then_good", then_good(refused("server_error")), attempts=2),
    FaultCase("server_error_without_a_body", only(_plain(500, b"")), ServerError, attempts=2),
    FaultCase("not_implemented", only(refused("server_error", status=501)), UnsupportedFeature),
    FaultCase("version_not_supported", only(refused("server_error", status=505)), UnsupportedFeature),
    FaultCase("bad_gateway_in_html", only(_plain(502, HTML)), ServerError, attempts=2),
    FaultCase("gateway_timeout_in_html", only(_plain(504, HTML)), ServerError, attempts=2),
    FaultCase("unavailable", only(refused("overloaded", status=503)), Overloaded, attempts=2),
    FaultCase("unavailable_in_html", only(_plain(503, HTML)), Overloaded, attempts=2),
    FaultCase("status_of_a_cdn", only(_plain(520, HTML)), ServerError, attempts=2),
    FaultCase("overloaded", only(refused("overloaded", status=529)), Overloaded, attempts=2),
    FaultCase("overloaded_then_good", then_good(refused("overloaded")), attempts=2),
    FaultCase("error_that_echoes_key_and_prompt", only(_echo), InvalidRequest),
    FaultCase("error_of_text_only", only(lambda _: (json_reply(400, {"error": "no"}),)), InvalidRequest),
    FaultCase(
        "error_without_an_error", only(lambda _: (json_reply(400, {"detail": [{"msg": "no"}]}),)), InvalidRequest
    ),
    FaultCase("error_that_is_null", only(lambda _: (json_reply(500, None),)), ServerError, attempts=2),
    FaultCase("error_that_is_a_list", only(lambda _: (json_reply(500, [1]),)), ServerError, attempts=2),
    FaultCase(
        "error_with_numbers_for_words",
        only(lambda _: (json_reply(400, {"error": {"message": 4, "type": 5, "code": 6}}),)),
        InvalidRequest,
    ),
    FaultCase(
        "error_cut_in_its_json", only(_plain(500, b'{"error": {"mess', "application/json")), ServerError, attempts=2
    ),
    FaultCase("error_that_is_no_utf8", only(_plain(400, b"\xff\xfe\x00{", "application/json")), InvalidRequest),
    FaultCase(
        "redirect_to_another_host",
        only(_redirect(lambda wire: f"{wire.elsewhere}/v1/messages")),
        MalformedResponse,
        check=_hints_base_url,
    ),
    FaultCase(
        "redirect_to_itself", only(_redirect(lambda wire: wire.dialect.path)), MalformedResponse, check=_hints_base_url
    ),
    FaultCase(
        "moved_for_good", only(_plain(301, b"", location="/elsewhere")), MalformedResponse, check=_hints_base_url
    ),
    FaultCase("early_hints", only(_hinted(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))),
    FaultCase("continue", only(_hinted(b"HTTP/1.1 100 Continue\r\n\r\n"))),
    FaultCase("connection_closed_between_calls", only(_closed), calls=3),
    FaultCase("connection_kept_between_calls", only(Wire.good), calls=3),
)
# A batch of texts that is too long or too large is halved, which is a rule of its own.
STATUSES = tuple(
    replace(case, modes=EVERY) if case.modes == ASKED and case.error not in (ContextTooLong, ContentTooLarge) else case
    for case in _STATUSES
)
"""Status codes and the headers beside them."""


def _body(change: Callable[[dict[str, Any]], Any]) -> Callable[[Wire], Exchange]:
    return lambda wire: (json_reply(200, change(wire.dialect.body(wire.answer)), wire.dialect.headers()),)


def _cut(wire: Wire) -> Exchange:
    body = json.dumps(wire.dialect.body(wire.answer)).encode()
    return (reply(200, body[: len(body) // 2]),)


BODIES: tuple[FaultCase, ...] = (
    FaultCase("html", only(_plain(200, HTML)), MalformedResponse, modes=EVERY),
    FaultCase("html_called_json", only(_plain(200, HTML, "application/json")), MalformedResponse, modes=EVERY),
    FaultCase("null", only(_body(lambda _: None)), MalformedResponse, modes=EVERY),
    FaultCase("number", only(_body(lambda _: 42)), MalformedResponse, modes=EVERY),
    FaultCase("list", only(_body(lambda body: [body])), MalformedResponse, modes=EVERY),
    FaultCase("string", only(_body(json.dumps)), MalformedResponse, modes=EVERY),
    FaultCase("wrong_shape", only(_body(lambda _: {"foo": 1})), MalformedResponse, modes=EVERY),
    FaultCase("empty_object", only(_body(lambda _: {})), MalformedResponse, modes=EVERY),
    FaultCase("empty", only(_plain(200, b"", "application/json")), MalformedResponse, modes=EVERY),
    FaultCase(
        "no_content", only(lambda _: (Send(b"HTTP/1.1 204 No Content\r\n\r\n"),)), MalformedResponse, modes=EVERY
    ),
    FaultCase("cut_json", only(_cut), MalformedResponse, modes=EVERY),
    FaultCase(
        "json_that_is_no_utf8",
        only(_plain(200, b'{"id": "\xff\xfe"', "application/json")),
        MalformedResponse,
        modes=EVERY,
    ),
    FaultCase(
        "error_with_status_200",
        only(lambda wire: (json_reply(200, wire.dialect.error("server_error")[1]),)),
        MalformedResponse,
        modes=EVERY,
    ),
    FaultCase("rate_limit_state", only(Wire.good), check=_rate_limit_state),
    FaultCase("model_and_request_id", only(Wire.good), check=_answered),
    FaultCase("gzip", only(_gzipped), modes=WHOLE),
    FaultCase("every_byte_its_own_chunk", only(_chunked), modes=WHOLE),
)
