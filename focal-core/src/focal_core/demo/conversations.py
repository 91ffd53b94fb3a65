"""The conversation log: JSON lines, one conversation a line, read as a stream.

A line that is wrong is reported with its number and its reason, and does not disturb the others. The format is
described in docs/conversations-file.md.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel
from focal_core.conversation.models import Channel
from focal_core.errors import InvalidDataError, SettingsError
from focal_core.profile.models import ProfileFieldSource
from focal_core.values import Confidence, Identifier, JSONObject, JSONValue, Text, UTCDateTime


class LoggedField(FocalModel):
    """A fact about the customer that a turn brought up.

    Attributes:
        name: name of the profile field.
        value: its value, typed as the field's definition says.
        source: where it comes from.
        confidence: how sure whoever found it was.
        verified: whether it was checked.
    """

    name: Identifier
    value: JSONValue
    source: ProfileFieldSource = ProfileFieldSource.USER_PROVIDED
    confidence: Confidence = 1.0
    verified: bool = False


class LoggedTool(FocalModel):
    """A tool that ran during a turn.

    Attributes:
        tool: id of the tool.
        input: its arguments.
        output: what it returned.
        success: whether it worked.
        error: why it did not.
        latency_ms: how long it took.
    """

    tool: Identifier
    input: JSONObject = {}
    output: JSONValue = None
    success: bool = True
    error: Text | None = None
    latency_ms: float | None = Field(default=None, ge=0)


def _as_list(value: Any) -> Any:
    """Return {name: value} as the list of fields it is short for."""
    if isinstance(value, dict):
        return [{"name": name, "value": item} for name, item in value.items()]
    return value


class LoggedTurn(FocalModel):
    """One exchange: what the user said and what was answered.

    Attributes:
        user: the message; empty when the assistant speaks first.
        assistant: the answer, or None.
        at: when; the time of the replay when None.
        scenario: name of the scenario the turn belongs to. Left out: the previous turn's. None: no scenario.
        step: name of the step. Left out: the previous turn's within the same scenario, else the entry step.
        fields: facts about the customer that the turn brought up.
        tools: tools that ran.
        latency_ms: how long the answer took.
    """

    user: Text
    assistant: Text | None = None
    at: UTCDateTime | None = None
    scenario: Identifier | None = None
    step: Identifier | None = None
    fields: Annotated[list[LoggedField], BeforeValidator(_as_list)] = []
    tools: list[LoggedTool] = []
    latency_ms: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _says_something(self) -> LoggedTurn:
        if not self.user and not self.assistant:
            raise PydanticCustomError("focal.turn_empty", "a turn needs a user or an assistant text")
        return self


class Conversation(FocalModel):
    """One line of the log.

    Attributes:
        conversation_id: names it for good; a conversation whose turns are stored is not replayed again.
        channel: where it took place.
        user: who the customer is on that channel.
        customer: who the customer is beyond the channel, in a system of the caller's own; joins channels.
        started_at: time of the turns that have none; the time of the replay when None.
        turns: in order.
    """

    conversation_id: Identifier
    channel: Channel
    user: Identifier
    customer: Identifier | None = None
    started_at: UTCDateTime | None = None
    turns: list[LoggedTurn] = Field(min_length=1)


@dataclass(frozen=True)
class Line:
    """A line of the log: either a conversation or what is wrong with it.

    Attributes:
        number: from 1.
        conversation: None when the line is wrong.
        error: None when it is right.
    """

    number: int
    conversation: Conversation | None = None
    error: InvalidDataError | None = None


class ConversationFile:
    """A conversation log on disk, gzipped or not; each iteration reads it anew, holding one line at a time.

    Args:
        path: the file.

    Attributes:
        size: bytes on disk.
        position: bytes read so far, of those on disk.

    Raises:
        SettingsError: the file cannot be read (code ``conversations_file``).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.position = 0
        try:
            self.size = self.path.stat().st_size
            with self.path.open("rb") as raw:
                self._packed = raw.read(2) == b"\x1f\x8b"
        except OSError as error:
            raise SettingsError(
                f"{path}: cannot read the conversations: {error.strerror}",
                hint="give the path of a JSON lines file, one conversation a line",
                code="conversations_file",
            ) from None

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines that are not blank; a damaged archive ends the reading with one wrong line."""
        seen: dict[str, int] = {}
        number = 0
        with self.path.open("rb") as raw:
            lines = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if self._packed else raw
            try:
                for number, content in enumerate(lines, 1):
                    self.position = raw.tell()
                    if content.strip():
                        yield self._unrepeated(_parse(content, number), seen)
            except (OSError, EOFError, zlib.error) as error:
                yield Line(number + 1, error=_wrong(number + 1, f"the archive is damaged: {error}"))

    def _unrepeated(self, line: Line, seen: dict[str, int]) -> Line:
        if line.conversation is None:
            return line
        first = seen.setdefault(line.conversation.conversation_id, line.number)
        if first == line.number:
            return line
        id = line.conversation.conversation_id
        return Line(line.number, error=_wrong(line.number, f"conversation_id {id!r} is that of line {first}"))


def _wrong(number: int, reason: str) -> InvalidDataError:
    return InvalidDataError(
        f"line {number}: {reason}",
        code="conversation_invalid",
        hint="docs/conversations-file.md describes the format",
        details={"line": number},
    )


def _parse(content: bytes, number: int) -> Line:
    try:
        # Some editors begin a file with a byte order mark.
        record = json.loads(content.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError:
        return Line(number, error=_wrong(number, "is not UTF-8"))
    except (ValueError, RecursionError) as error:
        return Line(number, error=_wrong(number, f"is not JSON: {error}"))
    if not isinstance(record, dict):
        return Line(number, error=_wrong(number, "is not a JSON object; one conversation a line is expected"))
    try:
        return Line(number, Conversation.model_validate(record))
    except ValidationError as error:
        return Line(number, error=_wrong(number, InvalidDataError.from_validation(error, "conversation").message))
