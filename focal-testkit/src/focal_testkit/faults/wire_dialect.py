"""What a vendor's wire looks like: good replies, error bodies, streams, and whether a request is one it would take."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from focal_testkit.faults.wire import LAST_CHUNK, Received, Step, chunk, json_reply, stream_head

ANSWER = "The quokka of Rottnest smiles at nobody – «ångström»."
"""What the server answers unless a test wants something else; searched for where it must not appear."""
ANSWERED_MODEL = "model-that-answered"
REQUEST_ID = "req_0190a000c3d4"

Finish = Literal["stop", "length", "tool_calls", "refusal", "content_filter", "pause"]


@dataclass(frozen=True)
class Call:
    """A tool call of an answer; the arguments are JSON text, broken on purpose in some tests."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Spent:
    """Tokens of an answer, the inclusive way: prompt holds both cache figures, completion holds reasoning."""

    prompt: int = 41
    completion: int = 17
    cache_read: int = 8
    cache_write: int = 4
    reasoning: int = 5


@dataclass(frozen=True)
class Answer:
    """An answer in neutral terms, which a dialect spells.

    Attributes:
        text: of the answer; of the refusal where it is one.
        thinking: before it, where the wire carries it.
        calls: tool calls behind it.
        finish: why it ended.
        spent: tokens; None = the server says nothing about them.
        model: that answered.
    """

    text: str = ANSWER
    thinking: str | None = None
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    spent: Spent | None = Spent()
    model: str = ANSWERED_MODEL


@dataclass(frozen=True)
class Event:
    """One server-sent event.

    Attributes:
        name: of its ``event:`` line; None = it has none.
        data: JSON, or text as it stands.
        settles: from here on the answer is known to be complete.
        shows: something is handed to the consumer for it.
    """

    name: str | None
    data: Any
    settles: bool = False
    shows: bool = False

    def encode(self, *, newline: str = "\n", named: bool = True) -> bytes:
        """Return the bytes of the event."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
        lines = [f"event: {self.name}"] if self.name is not None and named else []
        return newline.join([*lines, f"data: {data}", "", ""]).encode()


class WireDialect(ABC):
    """A vendor's wire.

    Attributes:
        name: as contracts call it.
        provider: wire family that focal's errors name.
        path: of the paid calls.
        finishes: ways to end that the wire can tell.
        thinking: whether the wire carries thinking.
        request_id_header: where the vendor puts its id.
        rate_limits: headers that tell 100 requests limit, 7 remaining, 9000 tokens limit, 800 remaining.
        sampling: fields that requests may hold although the SDK's request type does not know them.
    """

    name: ClassVar[str]
    provider: ClassVar[str]
    path: ClassVar[str]
    finishes: ClassVar[frozenset[Finish]] = frozenset()
    thinking: ClassVar[bool] = False
    request_id_header: ClassVar[str]
    rate_limits: ClassVar[Mapping[str, str]]
    sampling: ClassVar[frozenset[str]] = frozenset()

    def base_url(self, origin: str) -> str:
        """Return the base URL a client of the vendor is given."""
        return origin

    @abstractmethod
    def body(self, answer: Answer) -> dict[str, Any]:
        """Return the whole answer as a reply's JSON."""

    @abstractmethod
    def events(self, answer: Answer) -> list[Event]:
        """Return the answer as a stream, to its terminal event."""

    @abstractmethod
    def error(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON body of an error, named by focal's code for it; the message quotes the prompt.

        Raises:
            KeyError: the vendor has no such error.
        """

    @abstractmethod
    def error_events(self, kind: str) -> list[Event]:
        """Return how an error looks inside a stream."""

    @abstractmethod
    def request_types(self) -> Mapping[bool, Any]:
        """Return the SDK's request types: without and with streaming."""

    def unknown_event(self) -> Event:
        """Return an event of a kind that no client knows yet."""
        return Event("content_weather", {"type": "content_weather", "sky": "clear", "sequence_number": 99})

    def headers(self) -> dict[str, str]:
        """Return the headers every reply of the vendor carries."""
        return {self.request_id_header: REQUEST_ID, **self.rate_limits}

    def good(self, answer: Answer | None = None, **headers: str) -> tuple[Step, ...]:
        """Return a good reply."""
        return (json_reply(200, self.body(answer or Answer()), {**self.headers(), **headers}),)

    def streamed(self, answer: Answer | None = None) -> tuple[Step, ...]:
        """Return a good stream."""
        return self.stream_of(self.events(answer or Answer()))

    def stream_of(self, events: Sequence[Event]) -> tuple[Step, ...]:
        """Return some events as a chunked stream that ends in order."""
        return (stream_head(self.headers()), *(chunk(event.encode()) for event in events), LAST_CHUNK)

    def refused(self, kind: str, *, status: int | None = None, **headers: str) -> tuple[Step, ...]:
        """Return an error reply; header names are written with underscores."""
        usual, body = self.error(kind)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (json_reply(status or usual, body, {self.request_id_header: REQUEST_ID, **named}),)

    def opening(self, answer: Answer | None = None) -> list[Event]:
        """Return the first half of a stream, up to and with its second shown event."""
        shown, events = 0, []
        for event in self.events(answer or Answer()):
            events.append(event)
            shown += event.shows
            if shown == 2:
                return events
        raise AssertionError("the stream is too short to be cut")

    def route(self, request: Received) -> Sequence[Step] | None:
        """Answer what is not a paid call: a model asked for, tokens counted."""
        if request.method == "POST" and request.path == self.path:
            return None
        if request.method == "GET" and "/models/" in request.path:
            return (json_reply(200, self.model_card(request.path.rpartition("/")[2]), self.headers()),)
        if request.method == "POST" and request.path in self.counting():
            return (json_reply(200, self.counting()[request.path], self.headers()),)
        return (json_reply(404, {"error": {"type": "not_found_error", "message": "no such path"}}),)

    @abstractmethod
    def model_card(self, model: str) -> dict[str, Any]:
        """Return what the server tells about a model."""

    def counting(self) -> Mapping[str, dict[str, Any]]:
        """Return path -> reply of counting tokens; 23 of them."""
        return {}

    def problems(self, request: Received) -> list[str]:
        """Return why the vendor would not take a request, or what of it would be ignored; empty when all is well."""
        try:
            body = request.json()
        except ValueError as error:
            return [f"$: no JSON ({error})"]
        if not isinstance(body, dict):
            return ["$: no object"]
        adapter = self._adapters()[bool(body.get("stream"))]
        try:
            taken = _forced(adapter.validate_python(body))
        except ValidationError as error:
            return [f"{'.'.join(map(str, one['loc']))}: {one['type']}" for one in error.errors()]
        return [problem for problem in _lost(body, taken, "$") if problem not in self._ignored()]

    def _ignored(self) -> set[str]:
        return {f"$.{name}: not known" for name in self.sampling}

    def _adapters(self) -> Mapping[bool, TypeAdapter[Any]]:
        # For ever, not only for speed: pydantic-core panics when an adapter dies before its lazy iterators.
        if self.name not in _ADAPTERS:
            _ADAPTERS[self.name] = {stream: TypeAdapter(kind) for stream, kind in self.request_types().items()}
        return _ADAPTERS[self.name]


_ADAPTERS: dict[str, Mapping[bool, TypeAdapter[Any]]] = {}


def pieces(text: str, size: int = 9) -> Iterator[str]:
    """Yield a text in pieces, as a stream would bring it."""
    return (text[start : start + size] for start in range(0, len(text), size))


def _forced(value: Any) -> Any:
    """Return a validated value with every lazy iterable read, which is when their items are validated."""
    if isinstance(value, Mapping):
        return {key: _forced(inner) for key, inner in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_forced(inner) for inner in value]


def _lost(sent: Any, taken: Any, path: str) -> Iterator[str]:
    if isinstance(sent, Mapping) and isinstance(taken, Mapping):
        for key, inner in sent.items():
            if key in taken:
                yield from _lost(inner, taken[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: not known"
    elif isinstance(sent, list) and isinstance(taken, list) and len(sent) == len(taken):
        for index, (inner, other) in enumerate(zip(sent, taken, strict=True)):
            yield from _lost(inner, other, f"{path}[{index}]")
    elif sent != taken:
        yield f"{path}: read as {type(taken).__name__}"
