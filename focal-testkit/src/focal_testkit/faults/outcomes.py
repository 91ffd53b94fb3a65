"""What an error says about the write that raised it."""

from __future__ import annotations

from asyncio import CancelledError
from enum import StrEnum

from focal_core.errors import FocalError, OutcomeUnknownError


class Outcome(StrEnum):
    """How a call ended, as far as its caller can know."""

    DONE = "done"
    """It answered."""
    REFUSED = "refused"
    """It raised and claims that nothing was written."""
    UNKNOWN = "unknown"
    """It raised and claims nothing: the write may have happened, may still happen, or never."""


def outcome_of(error: BaseException) -> Outcome:
    """Return what an error promises by focal's tree of errors.

    OutcomeUnknownError and cancellation promise nothing; any other focal error promises that nothing was written.

    Raises:
        BaseException: the error itself when it is not focal's: no store of focal lets one through.
    """
    if isinstance(error, OutcomeUnknownError | CancelledError):
        return Outcome.UNKNOWN
    if isinstance(error, FocalError):
        return Outcome.REFUSED
    raise error


def unknown_outcome(error: BaseException) -> Outcome:
    """Return UNKNOWN for any exception: for bare drivers, whose errors promise nothing.

    Raises:
        BaseException: the error itself when it ends the program.
    """
    if isinstance(error, Exception | CancelledError):
        return Outcome.UNKNOWN
    raise error
