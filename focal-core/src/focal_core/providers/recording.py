"""Calls written down as JSON lines, and read again: what a model said once can be said again without it.

A line holds the whole request and answer, so it is as confidential as they are; it holds no key. What it looks like::

    {"n": 1, "request": {...}, "response": {...} or null, "error": {...} or null, "attempts": [...], "stream": false}
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from focal_core import errors
from focal_core.errors import AllFailed, InvalidDataError, ProviderError, StreamInterrupted
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    Done,
    LLMRequest,
    LLMResponse,
    StreamEvent,
    TextDelta,
)
from focal_core.providers.stream import LLMStream, opened_stream
from focal_core.providers.wrapping import LLMWrapper
from focal_core.usage import TokenUsage

Sink: TypeAlias = Callable[[str], object] | str | os.PathLike[str]
Source: TypeAlias = str | os.PathLike[str] | Iterable[str]

_ATTEMPTS = TypeAdapter(tuple[Attempt, ...])
_FACTS = (
    "code",
    "retryable",
    "hint",
    "provider",
    "model",
    "status",
    "vendor_code",
    "request_id",
    "retry_after",
    "path",
    "reason",
)


class RecordingLLM(LLMWrapper):
    """A language model whose calls are written down, one JSON line each, when they have ended.

    ``n`` counts them in the order they began. A stream that was left early is written as one that broke off there; a
    call that was cancelled, or failed by a bug, is not written.

    Args:
        inner: what answers.
        sink: called with each line, or the path of a file they are added to.
    """

    def __init__(self, inner: LLMProvider, sink: Sink) -> None:
        super().__init__(inner)
        self._write = sink if callable(sink) else _appender(Path(sink))
        self._begun = 0

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the inner one's answer, written down."""
        n = self._begin(request)
        try:
            response = await self._inner.generate(request, options=options)
        except ProviderError as error:
            self._record(n, request, error, stream=False)
            raise
        self._record(n, request, response, stream=False)
        return response

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the inner one's stream, written down when it has ended."""

        async def events() -> AsyncIterator[StreamEvent]:
            n = self._begin(request)
            text: list[str] = []
            try:
                async with self._inner.stream(request, options=options) as stream:
                    async for event in stream:
                        if isinstance(event, TextDelta):
                            text.append(event.text)
                        elif isinstance(event, Done):
                            self._record(n, request, event.response, stream=True)
                        yield event
            except ProviderError as error:
                self._record(n, request, error, stream=True)
                raise
            except GeneratorExit:
                if not isinstance(event, Done):
                    left = StreamInterrupted("the reader left", provider=self.name, partial="".join(text))
                    self._record(n, request, left, stream=True)
                raise

        return opened_stream(events, self.name)

    def _begin(self, request: LLMRequest) -> int:
        # What is no request cannot be written down as one.
        check_request(request, self.name, served=None)
        self._begun += 1
        return self._begun

    def _record(self, n: int, request: LLMRequest, outcome: LLMResponse | ProviderError, *, stream: bool) -> None:
        line = {
            "n": n,
            "request": request.model_dump(mode="json"),
            "response": outcome.model_dump(mode="json") if isinstance(outcome, LLMResponse) else None,
            "error": _dumped(outcome) if isinstance(outcome, ProviderError) else None,
            "attempts": _ATTEMPTS.dump_python(outcome.attempts, mode="json"),
            "stream": stream,
        }
        self._write(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


def read_recording(
    source: str | os.PathLike[str] | Iterable[str],
) -> list[tuple[LLMRequest, LLMResponse | ProviderError]]:
    """Return the calls of a recording in the order they began.

    Args:
        source: a file, or its lines.

    Raises:
        InvalidDataError: code ``recording_invalid``: a line is not one of a recording; the message says which.
    """
    calls = []
    for number, line in enumerate(_lines(source), 1):
        try:
            found = json.loads(line)
            request = LLMRequest.model_validate_json(json.dumps(found["request"]))
            answered = found["response"] is not None
            outcome = (
                LLMResponse.model_validate_json(json.dumps(found["response"])) if answered else _loaded(found["error"])
            )
            calls.append((int(found["n"]), request, outcome))
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise InvalidDataError(
                f"line {number} is not one of a recording ({type(error).__name__})", code="recording_invalid"
            ) from None
    calls.sort(key=lambda call: call[0])
    return [(request, outcome) for _, request, outcome in calls]


def _outcome(line: dict[str, Any]) -> LLMResponse | ProviderError:
    if line["response"] is None:
        return _loaded(line["error"])
    return LLMResponse.model_validate_json(json.dumps(line["response"]))


def _lines(source: Source) -> Iterator[str]:
    if isinstance(source, str | os.PathLike):
        with Path(source).open(encoding="utf-8") as lines:
            yield from filter(str.strip, lines)
    else:
        yield from filter(str.strip, source)


def _appender(path: Path) -> Callable[[str], object]:
    def append(line: str) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return append


def _dumped(error: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = {"type": type(error).__name__, "message": error.message}
    dumped.update({name: value for name in _FACTS if (value := getattr(error, name, None)) is not None})
    dumped["attempts"] = _ATTEMPTS.dump_python(error.attempts, mode="json")
    if error.usage is not None:
        dumped["usage"] = error.usage.model_dump(mode="json")
    if isinstance(getattr(error, "partial", None), str):
        dumped["partial"] = error.partial
    if isinstance(error, AllFailed):
        dumped["errors"] = [_dumped(one) for one in error.exceptions]
    return dumped


def _loaded(dumped: dict[str, Any]) -> ProviderError:
    kind = getattr(errors, dumped["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, ProviderError)):
        kind = ProviderError
    facts = {name: dumped[name] for name in (*_FACTS, "partial") if name in dumped}
    facts["attempts"] = _ATTEMPTS.validate_json(json.dumps(dumped["attempts"]))
    if "usage" in dumped:
        facts["usage"] = TokenUsage.model_validate(dumped["usage"])
    if issubclass(kind, AllFailed):
        return AllFailed(dumped["message"], [_loaded(one) for one in dumped["errors"]], **facts)
    return kind(dumped["message"], **facts)
