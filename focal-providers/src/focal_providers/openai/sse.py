"""Server-sent events with JSON in them, from the bytes of a reply: the SDK stumbles over some that are in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Self

_LAST = "[DONE]"


class EventStream:
    """The JSON of each event of a reply, and None where the server says that no more will follow.

    Linear in what is read, however it is cut. An event that the end of the stream cuts is none; one that holds no JSON
    is a ValueError.

    Args:
        response: of the SDK's HTTP client, its body not yet read.

    Attributes:
        response: the same.
    """

    def __init__(self, response: Any) -> None:
        self.response = response
        self._events = _events(response.aiter_bytes())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._events)

    async def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        await self.response.aclose()


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    data: list[str] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" ").decode())
        elif not line and data:
            text = "\n".join(data)
            data.clear()
            yield None if text.startswith(_LAST) else json.loads(text)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pieces: list[bytes] = []
    after_return = False
    async for chunk in chunks:
        # Both halves of a line's end may come apart.
        read = chunk[1:] if after_return and chunk[:1] == b"\n" else chunk
        after_return = chunk.endswith(b"\r") if chunk else after_return
        for piece in read.splitlines(keepends=True):
            pieces.append(piece)
            if piece[-1] in b"\r\n":
                yield b"".join(pieces).rstrip(b"\r\n")
                pieces.clear()
