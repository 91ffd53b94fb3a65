"""What a vendor's exceptions and error bodies mean: by status, then type, then code; and what of them is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

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
from focal_core.providers.retry import Advice
from focal_core.redact import HIDDEN
from focal_providers.client import SDKClient
from focal_providers.retry import advised

UNREADABLE = (AttributeError, TypeError, ValueError, LookupError, AssertionError, RecursionError)
"""What reading a reply raises when it is not what it should be."""

SHARED = 24
"""Characters in a row that a shown message may not have in common with the request."""
_SHOWN = 300

_QUOTA = re.compile(r"billing_error|insufficient_quota|credit_balance_.*|.*_spend_limit_reached")
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_TOLD_TOO_LONG = re.compile(r"prompt is too long|maximum (?:context|input) length")
_BUSY = frozenset({"server_is_overloaded", "slow_down"})
_POLICY = re.compile(r".*policy.*|content_filter")
_RATE = frozenset({"rate_limit_error", "rate_limit_exceeded", "ramp_limit_exceeded"})
_SAMPLING = re.compile(r"\b(temperature|top_p|top_k)\b")
_REFUSED = re.compile(r"unsupported|not supported|not support|deprecated|not allowed|not accept|cannot be (?:set|used)")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailed,
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
_BY_WORD: Mapping[str, type[ProviderError]] = {
    "overloaded_error": Overloaded,
    "api_error": ServerError,
    "server_error": ServerError,
    "vector_store_timeout": ServerError,
    "gateway_timeout_error": ServerError,
    "authentication_error": AuthenticationFailed,
    "permission_error": PermissionDenied,
    "request_too_large": ContentTooLarge,
    "not_found_error": InvalidRequest,
    "invalid_request_error": InvalidRequest,
    "invalid_prompt": InvalidRequest,
}


@dataclass(frozen=True)
class Told:
    """What a vendor said of an error.

    Attributes:
        status: HTTP status; None where the error came inside a reply whose status was good.
        kind: the type of the error, in the vendor's words.
        code: of the error, in the vendor's words.
        message: of the vendor.
        request_id: the vendor's.
    """

    status: int | None = None
    kind: str = ""
    code: str = ""
    message: str = ""
    request_id: str | None = None

    @classmethod
    def of(cls, body: object, status: int | None = None, request_id: str | None = None) -> Told:
        """Return what the JSON of an error says; whatever it is not, it does not say."""
        outer = body if isinstance(body, Mapping) else {}
        error = outer.get("error", outer)
        if isinstance(error, str):
            return cls(status, message=error, request_id=request_id)
        inner = error if isinstance(error, Mapping) else {}
        details = inner.get("details")
        code = inner.get("code") or (details.get("error_code") if isinstance(details, Mapping) else None)
        words = (inner.get("type"), code, inner.get("message"))
        kind, code, message = (word if isinstance(word, str) else "" for word in words)
        return cls(status, kind, code, message, request_id)

    def meaning(self) -> type[ProviderError]:
        """Return focal's error for it."""
        words = (self.kind, self.code)
        lower = self.message.lower()
        if self.status == 402 or any(map(_QUOTA.fullmatch, words)):
            return QuotaExceeded
        if self.status in (None, 400):
            if not _TOO_LONG.isdisjoint(words) or _TOLD_TOO_LONG.search(lower):
                return ContextTooLong
            if "max_tokens_per_request" in words:
                return ContentTooLarge
            if any(map(_POLICY.fullmatch, words)):
                return ContentFiltered
            if _SAMPLING.search(lower) and _REFUSED.search(lower):
                return UnsupportedFeature
        if not _RATE.isdisjoint(words):
            return RateLimited
        if "overloaded_error" in words or (self.status is None and ("overloaded" in lower or self.code in _BUSY)):
            return Overloaded
        about_model = "model" in self.code or re.search(r"\bmodels?\b", lower) is not None
        if self.status == 404 or (self.status is None and "not_found_error" in words):
            return ModelNotFound if about_model else InvalidRequest
        if self.status is None:
            known = (_BY_WORD.get(word) for word in (self.code, self.kind))
            by_image = InvalidRequest if "image" in self.code else ServerError
            return next(filter(None, known), by_image)
        if self.status < 400:
            return MalformedResponse
        return _BY_STATUS.get(self.status, ServerError if self.status >= 500 else InvalidRequest)


class Errors:
    """Translates for one client: knows its exceptions, its secrets, and where its key came from.

    Args:
        client: whose.
    """

    def __init__(self, client: SDKClient) -> None:
        self._client = client
        self._provider = client.vendor.provider

    def advice(self, error: Exception, said: object) -> Advice | None:
        """Return what an exception of the SDK or of its HTTP client means; None = it is a bug of ours.

        Args:
            error: the exception; the vendor's words in it are cut to what may be shown, as it will be the cause.
            said: the request, as JSON values.
        """
        sdk, httpx2 = self._client.sdk, import_module("httpx2")
        if isinstance(error, sdk.APIStatusError):
            headers = error.response.headers
            status = None if error.status_code == 200 else error.status_code
            told = Told.of(error.body, status, headers.get(self._client.vendor.request_id))
            ours = self.refusal(told, said)
            error.args, error.message = (ours.message,), ours.message
            return Advice(ours, ours.retryable) if status is None else advised(ours, headers)
        cause = error
        if isinstance(error, sdk.APIConnectionError) and isinstance(error.__cause__, Exception):
            cause = error.__cause__
        if isinstance(error, sdk.APITimeoutError) or isinstance(cause, httpx2.TimeoutException | TimeoutError):
            return Advice(self._error(AttemptTimeout, "no answer in time"), retryable=True)
        if isinstance(cause, httpx2.DecodingError):
            return Advice(self._error(MalformedResponse, "the reply cannot be decoded"), retryable=False)
        if isinstance(cause, httpx2.TransportError | OSError):
            if self._client.is_closed:
                return Advice(self._client.closed(), retryable=False)
            told_by = type(cause).__name__
            return Advice(self._error(ConnectionFailed, f"no connection, or it broke ({told_by})"), retryable=True)
        if isinstance(error, sdk.APIError) and not isinstance(error, sdk.APIConnectionError):
            ours = self.refusal(Told.of(error.body), said)
            error.args, error.message = (ours.message,), ours.message
            return Advice(ours, ours.retryable)
        if self._client.is_closed and isinstance(cause, RuntimeError):
            return Advice(self._client.closed(), retryable=False)
        return None

    @contextmanager
    def unwrapping(self) -> Iterator[None]:
        """Let a bug in a transport out as itself: the SDK takes whatever happens there for a lost connection."""
        try:
            yield
        except self._client.sdk.APIConnectionError as error:
            if isinstance(error.__cause__, Exception) and self.advice(error, ()) is None:
                raise error.__cause__ from None
            raise

    def refusal(self, told: Told, said: object) -> ProviderError:
        """Return the error for what a vendor said, with as much of its words as may be shown.

        Args:
            told: what it said.
            said: the request, as JSON values; what the vendor's words share with it is cut.
        """
        kind = told.meaning()
        words = " ".join(word for word in (told.kind, told.code) if _WORD.fullmatch(word))
        place = "inside its reply" if told.status is None else str(told.status)
        shown = f"{self._provider} answered {' '.join(filter(None, (place, words)))}"
        if told.message:
            shown = f"{shown}: {told.message}"
        error = self._error(kind, self.redacted(shown, said), hint=self._hint(kind, told))
        error.status, error.request_id = told.status, told.request_id
        error.vendor_code = told.code or told.kind or None
        error.vendor_message = told.message or None
        if kind is ServerError and told.status is None and _BY_WORD.keys().isdisjoint((told.kind, told.code)):
            error.retryable = False
        return error

    def malformed(self, what: str, *, hint: str | None = None) -> MalformedResponse:
        """Return the error for a reply that is none."""
        return MalformedResponse(what, provider=self._provider, hint=hint)

    def check_type(self, headers: Any, expected: str) -> None:
        """Refuse a reply that is not of a content type.

        Raises:
            MalformedResponse: it is not.
        """
        found = content_type(headers)
        if found != expected:
            raise self.malformed(
                f"the reply is {found or 'of no type'}, not {expected}",
                hint="check base_url, and what stands before it",
            )

    def redacted(self, text: str, said: object) -> str:
        """Return a text without the secrets, and without what it has in common with the request."""
        for secret in self._client.secrets:
            text = text.replace(secret, HIDDEN)
        return cut(text[:_SHOWN], "\0".join((*self._client.secrets, *strings(said))))

    def _error(self, kind: type[ProviderError], message: str, hint: str | None = None) -> ProviderError:
        return kind(message, hint=hint, provider=self._provider)

    def _hint(self, kind: type[ProviderError], told: Told) -> str | None:
        place = self._client.options.key_place(self._provider)
        if kind is AuthenticationFailed:
            return f"the key is taken from {place}: correct it there"
        if kind is PermissionDenied:
            return f"the key is taken from {place}: it may not do this"
        if kind is ModelNotFound:
            return f"correct the name of the model, or use a key (from {place}) that may use it"
        if kind is QuotaExceeded:
            return f"look at plan and billing of the account whose key is taken from {place}"
        if kind is UnsupportedFeature and told.status == 400:
            return "leave temperature and top_p out, or set capabilities of the model in the backend's settings"
        if kind is MalformedResponse or (kind is InvalidRequest and told.status in (404, 405)):
            return "check base_url: no API of this kind seems to be there"
        return None


def cut(text: str, other: str) -> str:
    """Return a text with every run of ``SHARED`` characters or more that it shares with another replaced by ``…``."""
    step = SHARED // 2
    shared = bytearray(len(text))
    for block in range(0, len(text) - step + 1, step):
        # A run of SHARED characters holds one aligned block of half that length, whole.
        if text[block : block + step] not in other:
            continue
        for start in range(max(0, block - step), block + 1):
            if start + SHARED <= len(text) and text[start : start + SHARED] in other:
                shared[start : start + SHARED] = b"\1" * SHARED
    pieces = []
    for at, hidden in enumerate(shared):
        if not hidden:
            pieces.append(text[at])
        elif at == 0 or not shared[at - 1]:
            pieces.append("…")
    return "".join(pieces)


def strings(value: object) -> Iterator[str]:
    """Yield every text of a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for inner in value:
            yield from strings(inner)


def content_type(headers: Any) -> str:
    """Return the content type of a reply without its parameters, in small letters; empty when it has none."""
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()
