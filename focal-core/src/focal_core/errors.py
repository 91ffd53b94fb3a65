"""Every exception focal raises, in one tree.

No driver's, SDK's or library's exception leaves a focal method; the one exception to that rule is pydantic's
``ValidationError``, which may come out of a model that the *caller* constructs.

```
FocalError
├─ ConfigurationError
│  ├─ PluginNotFoundError        no installed distribution offers that backend
│  ├─ PluginLoadError            it is installed but cannot be imported or is not a Backend
│  ├─ PluginConflictError        two distributions claim one name
│  └─ SettingsError              a key, a value or a combination of them is wrong
├─ StoreError
│  ├─ StoreUnavailableError*     no answer in time; from a write: nothing was written
│  │  └─ OutcomeUnknownError     a write was handed over and its reply was lost
│  ├─ ConflictError              the stored state forbids it
│  │  ├─ StaleVersionError       compare-and-swap lost
│  │  └─ DuplicateError          a unique key, or an id with other content
│  ├─ NotFoundError              the operation needs a target that is not there
│  ├─ InvalidDataError           the arguments or the model are wrong
│  │  └─ SchemaValidationError   a profile field against its definition
│  ├─ TenantRequiredError        tenant omitted, ambiguous, or another than the bound one
│  ├─ ImmutableRecordError       an append-only record was to be changed
│  ├─ SchemaOutdatedError        stored schema or document is behind or ahead
│  ├─ UnsupportedOperationError  a capability the backend does not declare
│  └─ EmbeddingSpaceError        a vector of another model or length
└─ ProviderError                 what a model provider did
   ├─ MissingCredentials (also SettingsError)    ├─ SDKUnavailable (also PluginLoadError)
   ├─ UnsupportedFeature (also UnsupportedOperationError) ─ SchemaUnsupported
   ├─ RequestRejected  AuthenticationFailed · PermissionDenied · ModelNotFound · ContextTooLong · ContentTooLarge
   │                   · InvalidRequest
   ├─ Throttled*       RateLimited* · Overloaded*      ├─ QuotaExceeded
   ├─ Unavailable*     ConnectionFailed* · AttemptTimeout* · ServerError*
   ├─ DeadlineExceeded  ├─ MalformedResponse           ├─ StreamInterrupted
   ├─ OutputError      OutputInvalid · OutputTruncated · Refused · ContentFiltered
   └─ AllFailed        (also an ExceptionGroup) the errors of a fallback chain
* retryable by default
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError


class FocalError(Exception):
    """Base of every error focal raises.

    Attributes:
        message: what happened, to which thing; no secret, no vector, no customer text.
        hint: the command, setting or call that fixes it, or None.
        code: a stable slug for programs, such as ``"limit_invalid"``.
        retryable: whether the same call may simply be made again.
        details: further facts for programs; ids, numbers and names only.
    """

    default_code: ClassVar[str] = "focal_error"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code if code is not None else self.default_code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling of exceptions.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[FocalError], args: tuple[Any, ...], state: dict[str, Any]) -> FocalError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(FocalError):
    """The way focal is set up is wrong: a port without a backend, a name, a setting."""

    default_code = "configuration"


class PluginNotFoundError(ConfigurationError):
    """No installed distribution offers a backend of that name."""

    default_code = "plugin_not_found"


class PluginLoadError(ConfigurationError):
    """A backend is installed but cannot be imported, or is not a usable Backend."""

    default_code = "plugin_load"


class PluginConflictError(ConfigurationError):
    """Several distributions offer a backend of one name."""

    default_code = "plugin_conflict"


class SettingsError(ConfigurationError):
    """A setting is unknown, missing, malformed or contradicts another."""

    default_code = "settings"


class StoreError(FocalError):
    """Base of everything a store raises."""

    default_code = "store"


class StoreUnavailableError(StoreError):
    """The store did not answer. From a write it means, with certainty, that nothing was written."""

    default_code = "unavailable"
    default_retryable = True


REFUSED_IN_DOUBT = "refused_in_doubt"
"""Code of an unknown outcome that no repeat settles: others have changed the stored row since."""


class OutcomeUnknownError(StoreUnavailableError):
    """A write was handed over and its final reply did not arrive.

    Attributes:
        written: None when unknown; True when the authority has it and only something behind it does not.
        token: the write token with which a repeat can be recognised, or None.
    """

    default_code = "outcome_unknown"
    default_retryable = False

    def __init__(self, message: str, *, written: bool | None = None, token: bytes | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.written = written
        self.token = token


class ConflictError(StoreError):
    """The stored state forbids the operation; repeating it unchanged fails again."""

    default_code = "conflict"


class StaleVersionError(ConflictError):
    """A compare-and-swap lost: the stored version is not the expected one. Nothing was written.

    Attributes:
        expected: the version the caller's object carries.
        actual: the stored version; 0 when nothing is stored.
    """

    default_code = "stale_version"

    def __init__(self, message: str, *, expected: int, actual: int, **kwargs: Any) -> None:
        kwargs.setdefault("hint", "load the object again, apply the change to it and save it")
        super().__init__(message, **kwargs)
        self.expected = expected
        self.actual = actual


class DuplicateError(ConflictError):
    """A unique key is taken, or the id is stored with other content."""

    default_code = "duplicate"


class NotFoundError(StoreError):
    """The operation needs an existing target and there is none (a foreign tenant's target is none)."""

    default_code = "not_found"


class InvalidDataError(StoreError):
    """An argument or a model is wrong; nothing was written."""

    default_code = "invalid_data"

    @classmethod
    def from_validation(cls, error: ValidationError, what: str) -> InvalidDataError:
        """Return the error for a model that pydantic refused: field names and reasons, never values.

        Args:
            error: pydantic's error.
            what: the name of the model or argument that was refused.
        """
        found = error.errors(include_url=False, include_context=False, include_input=False)
        reasons = [f"{'.'.join(str(part) for part in one['loc']) or what}: {one['msg']}" for one in found]
        # Codes of our own validators (focal_core.values) travel as pydantic error types.
        own = [one["type"].removeprefix("focal.") for one in found if one["type"].startswith("focal.")]
        return cls(f"invalid {what}: {'; '.join(reasons)}", code=own[0] if own else None)


class SchemaValidationError(InvalidDataError):
    """A profile field violates its definition.

    Attributes:
        field_name: the field.
        errors: one sentence for each violation.
    """

    default_code = "schema_validation"

    def __init__(self, field_name: str, errors: Sequence[str], **kwargs: Any) -> None:
        super().__init__(f"field {field_name!r} violates its definition: {'; '.join(errors)}", **kwargs)
        self.field_name = field_name
        self.errors = list(errors)


class TenantRequiredError(StoreError):
    """The tenant was omitted where it is needed, is ambiguous, or is not the one the view is bound to."""

    default_code = "tenant_required"


class ImmutableRecordError(StoreError):
    """An append-only record was to be changed or removed."""

    default_code = "immutable_record"


class SchemaOutdatedError(StoreError):
    """A stored schema or document has a version this release does not read."""

    default_code = "schema_outdated"


class UnsupportedOperationError(StoreError):
    """The operation belongs to a capability that the backend does not declare."""

    default_code = "unsupported"


class EmbeddingSpaceError(StoreError):
    """A vector belongs to another embedding space (model, length) than the one it is used in."""

    default_code = "embedding_space"


class ProviderError(FocalError):
    """Base of everything a model provider raises.

    Attributes:
        provider: wire family, such as ``"anthropic"``.
        model: the model that was asked, or None.
        status: HTTP status, or None.
        vendor_code: the vendor's own code, or None.
        vendor_message: the vendor's own words, which may echo the prompt; never part of ``str()``.
        request_id: the vendor's id of the request, or None.
        retry_after: seconds to wait before another try, or None.
        attempts: what was tried (``focal_core.providers.models.Attempt``).
        usage: tokens spent all the same, or None.
    """

    default_code = "provider"

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        vendor_code: str | None = None,
        vendor_message: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts: Sequence[Any] = (),
        usage: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.provider = provider
        self.model = model
        self.status = status
        self.vendor_code = vendor_code
        self.vendor_message = vendor_message
        self.request_id = request_id
        self.retry_after = retry_after
        self.attempts = tuple(attempts)
        self.usage = usage


class MissingCredentials(ProviderError, SettingsError):
    """No key is configured for the provider."""

    default_code = "missing_credentials"


class SDKUnavailable(ProviderError, PluginLoadError):
    """The vendor's SDK is absent or outside the supported range."""

    default_code = "sdk_unavailable"


class UnsupportedFeature(ProviderError, UnsupportedOperationError):
    """The request holds something this provider or model cannot do; nothing was sent."""

    default_code = "unsupported_feature"


class SchemaUnsupported(UnsupportedFeature):
    """A structured-output schema that the wire cannot carry.

    Attributes:
        path: where in the schema.
        reason: why.
    """

    default_code = "schema_unsupported"

    def __init__(self, message: str, *, path: str, reason: str, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.path = path
        self.reason = reason


class RequestRejected(ProviderError):
    """The provider refused the request; sending it again unchanged fails again."""

    default_code = "request_rejected"


class AuthenticationFailed(RequestRejected):
    """The key was refused."""

    default_code = "authentication_failed"


class PermissionDenied(RequestRejected):
    """The key may not do this."""

    default_code = "permission_denied"


class ModelNotFound(RequestRejected):
    """The provider does not know the model."""

    default_code = "model_not_found"


class ContextTooLong(RequestRejected):
    """The prompt does not fit the model's context."""

    default_code = "context_too_long"


class ContentTooLarge(RequestRejected):
    """The request is larger than the server takes."""

    default_code = "content_too_large"


class InvalidRequest(RequestRejected):
    """The request is malformed."""

    default_code = "invalid_request"


class Throttled(ProviderError):
    """The provider asks to slow down."""

    default_code = "throttled"
    default_retryable = True


class RateLimited(Throttled):
    """A rate limit was met."""

    default_code = "rate_limited"


class Overloaded(Throttled):
    """The provider is overloaded."""

    default_code = "overloaded"


class QuotaExceeded(ProviderError):
    """The account's quota or budget is used up."""

    default_code = "quota_exceeded"


class Unavailable(ProviderError):
    """The provider could not be reached or failed."""

    default_code = "provider_unavailable"
    default_retryable = True


class ConnectionFailed(Unavailable):
    """No connection, or it broke before an answer."""

    default_code = "connection_failed"


class AttemptTimeout(Unavailable):
    """One attempt took too long."""

    default_code = "attempt_timeout"


class ServerError(Unavailable):
    """The provider failed."""

    default_code = "server_error"


class DeadlineExceeded(ProviderError):
    """The call's deadline passed.

    Attributes:
        partial: what had arrived, or None.
    """

    default_code = "deadline_exceeded"

    def __init__(self, message: str, *, partial: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.partial = partial


class MalformedResponse(ProviderError):
    """The answer cannot be what the provider meant to send."""

    default_code = "malformed_response"


class StreamInterrupted(ProviderError):
    """A stream ended before its terminal event.

    Attributes:
        partial: what had arrived.
    """

    default_code = "stream_interrupted"

    def __init__(self, message: str, *, partial: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.partial = partial


class OutputError(ProviderError):
    """The model answered, but not with what was asked for.

    Attributes:
        response: the answer, paid for and kept; None where there is none.
    """

    default_code = "output"

    def __init__(self, message: str, *, response: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.response = response


class OutputInvalid(OutputError):
    """The output does not validate against the schema."""

    default_code = "output_invalid"


class OutputTruncated(OutputError):
    """The output was cut at the token limit."""

    default_code = "output_truncated"


class Refused(OutputError):
    """The model refused."""

    default_code = "refused"


class ContentFiltered(OutputError):
    """A content filter stopped the prompt or the answer."""

    default_code = "content_filtered"


class AllFailed(ProviderError, ExceptionGroup[ProviderError]):
    """Every provider of a fallback chain failed; retryable when one of them is.

    Attributes:
        exceptions: the error of each that was asked, in that order.
    """

    default_code = "all_failed"

    # The group's own ``message`` cannot be set; this one hides it.
    message: str = ""

    def __new__(cls, message: str, errors: Sequence[ProviderError], **kwargs: Any) -> Self:
        """Return a group of the errors; what ``__init__`` takes besides is no business of groups."""
        return super().__new__(cls, message, errors)

    def __init__(self, message: str, errors: Sequence[ProviderError], **kwargs: Any) -> None:
        kwargs.setdefault("retryable", any(error.retryable for error in errors))
        super().__init__(message, **kwargs)
        self.args = (message, tuple(errors))

    def derive(self, errors: Sequence[ProviderError], /) -> AllFailed:  # type: ignore[override]
        """Return the same for some of the errors, as ``except*`` needs it."""
        return AllFailed(
            self.message,
            errors,
            code=self.code,
            hint=self.hint,
            details=self.details,
            retry_after=self.retry_after,
            attempts=self.attempts,
            usage=self.usage,
        )
