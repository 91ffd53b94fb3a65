"""What the reference providers share: the connection, errors, and when to try again.

They speak the wires of Chat Completions and of embeddings as plainly as the contracts allow, and exist to be broken:
the mutants of the fault contract are made from them, so every rule is a method of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import httpx2

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
    Unavailable,
    UnsupportedFeature,
)
from focal_core.providers.models import RateLimitState
from focal_core.providers.retry import Advice, CurrentAttempt

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: QuotaExceeded,
    403: PermissionDenied,
    408: AttemptTimeout,
    409: ServerError,
    413: ContentTooLarge,
    429: RateLimited,
    501: UnsupportedFeature,
    503: Overloaded,
    505: UnsupportedFeature,
    529: Overloaded,
}
_BY_CODE: Mapping[str, type[ProviderError]] = {
    "insufficient_quota": QuotaExceeded,
    "rate_limit_exceeded": RateLimited,
    "context_length_exceeded": ContextTooLong,
    "content_policy_violation": ContentFiltered,
    "model_not_found": ModelNotFound,
    "unsupported_value": UnsupportedFeature,
}
_SPANS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MALFORMED = (AttributeError, TypeError, ValueError, LookupError)
"""What reading a reply raises when it is not what it should be."""


class Client:
    """What both providers share: the connection, errors, and when to try again."""

    name: ClassVar[str] = "reference"

    def __init__(self, base_url: str, api_key: str) -> None:
        self._key = api_key
        self._http = httpx2.AsyncClient(
            base_url=base_url, headers={"authorization": f"Bearer {api_key}"}, timeout=None, follow_redirects=False
        )
        self._closed = False

    async def aclose(self) -> None:
        """Close the connections and refuse calls from now on."""
        self._closed = True
        await self._http.aclose()

    def check_open(self) -> None:
        """Refuse a call behind the end.

        Raises:
            Unavailable: code ``closed``.
        """
        if self._closed:
            raise Unavailable("the provider is closed", provider=self.name, code="closed", retryable=False)

    async def post(self, path: str, payload: Any, current: CurrentAttempt) -> httpx2.Response:
        """Return a complete reply whose status is good."""
        reply = await self._http.post(path, json=payload)
        self.note(reply, current)
        self.check(reply, current)
        return reply

    def note(self, reply: httpx2.Response, current: CurrentAttempt) -> None:
        """Record what the headers tell."""
        current.status, current.request_id = reply.status_code, reply.headers.get("x-request-id")

    def check(self, reply: httpx2.Response, current: CurrentAttempt) -> None:
        """Refuse a status that is not good; the body has been read.

        Raises:
            ProviderError: whatever the status means.
        """
        if reply.status_code == 200:
            return
        try:
            body = reply.json()
        except ValueError:
            body = None
        error = self.refusal(body, current)
        error.retry_after = self.retry_after(reply.headers)
        error.retryable = self.retryable(error, reply.headers.get("x-should-retry"))
        raise error

    def refusal(self, body: Any, current: CurrentAttempt) -> ProviderError:
        """Return what an error's body means, whether it came as a reply or inside a stream."""
        error = body.get("error") if isinstance(body, Mapping) else None
        told = {key: word for key, word in error.items() if isinstance(word, str)} if isinstance(error, Mapping) else {}
        status = 500 if current.status == 200 else current.status or 500
        kind = self.kind(status, told.get("code"))
        return self.error(kind, status, told, current.request_id)

    def kind(self, status: int, code: str | None) -> type[ProviderError]:
        """Return what a status and the vendor's code mean."""
        if code is not None and code in _BY_CODE:
            return _BY_CODE[code]
        if status < 400:
            return MalformedResponse
        return _BY_STATUS.get(status, ServerError if status >= 500 else InvalidRequest)

    def error(
        self, kind: type[ProviderError], status: int, told: Mapping[str, Any], request_id: str | None = None
    ) -> ProviderError:
        """Return an error; the vendor's words stay out of its message."""
        return kind(
            f"the server answered with status {status}",
            hint="check base_url" if status == 404 or status < 400 else None,
            provider=self.name,
            status=status,
            vendor_code=told.get("code") or told.get("type"),
            vendor_message=told.get("message"),
            request_id=request_id,
        )

    def retryable(self, error: ProviderError, should: str | None) -> bool:
        """Return whether to try again, given what the server says of that."""
        if should == "true":
            return not isinstance(error, AuthenticationFailed | PermissionDenied | QuotaExceeded)
        return error.retryable and should != "false"

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Return the seconds a server asks to wait; None when it asks nothing that makes sense."""
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            text = headers.get(name, "")
            try:
                seconds = float(text) * unit
            except ValueError:
                try:
                    seconds = max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
                except ValueError:
                    continue
            if seconds >= 0.0:
                return seconds
        return None

    def classify(self, error: Exception) -> Advice | None:
        """Return what an exception of the HTTP client means; None = a bug."""
        if isinstance(error, httpx2.DecodingError):
            return Advice(MalformedResponse("the reply cannot be decoded"), retryable=False)
        if isinstance(error, httpx2.TimeoutException):
            return Advice(AttemptTimeout("no answer in time"), retryable=True)
        if isinstance(error, httpx2.TransportError):
            return Advice(ConnectionFailed("no connection, or it broke"), retryable=True)
        return None

    def malformed(self, what: str) -> MalformedResponse:
        """Return the error for a reply that is none."""
        return MalformedResponse(what, provider=self.name)

    def limits_told(self, headers: Mapping[str, str]) -> RateLimitState | None:
        """Return the vendor's limits as a reply tells them."""
        try:
            told: dict[str, Any] = {}
            for what in ("requests", "tokens"):
                told[f"{what}_limit"] = int(headers[f"x-ratelimit-limit-{what}"])
                told[f"{what}_remaining"] = int(headers[f"x-ratelimit-remaining-{what}"])
                told[f"{what}_reset_at"] = datetime.now(UTC) + _span(headers[f"x-ratelimit-reset-{what}"])
            return RateLimitState(**told)
        except MALFORMED:
            return None


def _span(text: str) -> timedelta:
    seconds, number = 0.0, ""
    for char in text.replace("ms", "l"):
        if char in "lsmh":
            seconds += float(number) * _SPANS[char.replace("l", "ms")]
            number = ""
        else:
            number += char
    return timedelta(seconds=seconds)
