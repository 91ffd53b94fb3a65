"""What headers say about trying again, and about limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf

import pytest

from focal_core.errors import (
    AuthenticationFailed,
    InvalidRequest,
    PermissionDenied,
    ProviderError,
    QuotaExceeded,
    RateLimited,
)
from focal_core.providers.models import RateLimitState
from focal_providers.retry import advised, rate_limit_state, retry_after

ANTHROPIC = "anthropic-ratelimit-{kind}-{what}"
OPENAI = "x-ratelimit-{what}-{kind}"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "3600"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "1e999"}, inf),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "Sun, 99 Nov 9999 99:49:37 GMT"}, None),
    ],
)
def test_provider_a3_each_spelling_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds go first; what makes no sense is not obeyed."""
    assert retry_after(headers) == seconds


def test_provider_a3_a_date_is_a_wait_until_then() -> None:
    """With and without a zone, which is UTC."""
    date = datetime.now(UTC) + timedelta(seconds=60)
    for text in (format_datetime(date, usegmt=True), format_datetime(date.replace(tzinfo=None))):
        assert retry_after({"retry-after": text}) == pytest.approx(60, abs=2)


@pytest.mark.parametrize(
    ("error", "said", "retryable"),
    [
        (RateLimited("x"), None, True),
        (RateLimited("x"), "false", False),
        (RateLimited("x"), "maybe", True),
        (InvalidRequest("x"), None, False),
        (InvalidRequest("x"), "true", True),
        (AuthenticationFailed("x"), "true", False),
        (PermissionDenied("x"), "true", False),
        (QuotaExceeded("x"), "true", False),
    ],
)
def test_provider_a4_the_server_may_forbid_and_mostly_allow(
    error: ProviderError, said: str | None, retryable: bool
) -> None:
    """``false`` is final; ``true`` helps neither a refused key nor an empty account."""
    headers = {"retry-after": "2"} | ({} if said is None else {"x-should-retry": said})
    advice = advised(error, headers)

    assert (advice.error, advice.retryable, advice.retry_after) == (error, retryable, 2.0)


def test_provider_r10_limits_are_read_as_each_vendor_tells_them() -> None:
    """Dates of the one, spans of the other."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    dated = {
        ANTHROPIC.format(kind="requests", what=what): text
        for what, text in (("limit", "100"), ("remaining", "7"), ("reset", "2030-01-01T00:00:00Z"))
    }

    assert rate_limit_state(dated, ANTHROPIC) == RateLimitState(
        requests_limit=100, requests_remaining=7, requests_reset_at=moment
    )

    spans = {"1s": 1.0, "6m0s": 360.0, "1h2m3.5s": 3723.5, "250ms": 0.25, "1m6.25s": 66.25, "1d": 86_400.0}
    for span, seconds in spans.items():
        state = rate_limit_state({"x-ratelimit-reset-tokens": span}, OPENAI)
        assert state is not None
        assert state.tokens_reset_at is not None
        assert (state.tokens_reset_at - datetime.now(UTC)).total_seconds() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "٣", "9" * 30])
def test_provider_r10_what_is_no_number_was_not_told(text: str) -> None:
    """An odd header costs nothing but itself."""
    name = ANTHROPIC.format(kind="tokens", what="limit")

    assert rate_limit_state({name: text}, ANTHROPIC) is None
    assert rate_limit_state({name: text, ANTHROPIC.format(kind="tokens", what="reset"): text}, ANTHROPIC) is None
    assert rate_limit_state({}, ANTHROPIC) is None
