"""What aimock is told to answer, kept apart from what other tests told it, and focal's providers in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.providers.peer.tap import Tap

from focal_testkit.contracts.providers.fault_case import KEY
from focal_testkit.contracts.providers.serving import ECHO, Served
from focal_testkit.faults.wire_dialect import Answer
from focal_testkit.servers.aimock import Aimock

MARKS = [f"MARK-{number}" for number in range(100, 200)]
PIECE = 9
"""Characters of one delta."""


@dataclass(frozen=True)
class Vendor:
    """One of focal's providers, as it is connected to aimock.

    Attributes:
        name: of the wire, as the fault contract names it.
        path: of the paid calls.
        prefix: of the base URL behind the origin.
        connect: opens the provider.
        settings: what it is given beside address, key and headers.
    """

    name: str
    path: str
    prefix: str
    connect: Callable[..., AbstractAsyncContextManager[Any]]
    settings: Mapping[str, Any]


def _anthropic(**settings: Any) -> AbstractAsyncContextManager[Any]:
    from focal_providers.anthropic.llm import AnthropicProvider

    return AnthropicProvider.connect(**settings)


def _openai(**settings: Any) -> AbstractAsyncContextManager[Any]:
    from focal_providers.openai.llm import OpenAIProvider

    return OpenAIProvider.connect(**settings)


def _embeddings(**settings: Any) -> AbstractAsyncContextManager[Any]:
    from focal_providers.openai.embedding import OpenAIEmbeddings

    return OpenAIEmbeddings.connect(**settings)


VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor("anthropic", "/v1/messages", "", _anthropic, {"model": "claude-sonnet-5"}),
        Vendor("openai-responses", "/v1/responses", "/v1", _openai, {"model": "gpt-5-mini"}),
        Vendor("openai-chat", "/v1/chat/completions", "/v1", _openai, {"model": "gpt-4.1-mini", "api": "chat"}),
        Vendor(
            "openai-embeddings", "/v1/embeddings", "/v1", _embeddings, {"embedding_model": "text-embedding-3-small"}
        ),
    )
}
LANGUAGE_MODELS = [name for name in VENDORS if name != "openai-embeddings"]


class Peer:
    """A provider in front of aimock, and what aimock was asked.

    Attributes:
        provider: focal's.
        tap: what was sent.
        close: closes the provider.
    """

    def __init__(
        self, aimock: Aimock, vendor: Vendor, provider: Any, tap: Tap, stack: AsyncExitStack, own: str
    ) -> None:
        self.provider = provider
        self.tap = tap
        self.close = stack.aclose
        self._aimock = aimock
        self._vendor = vendor
        self._own = own

    @property
    def sent(self) -> list[Any]:
        """The bodies of the paid calls, in order."""
        return [body for path, body in self.tap.posted if path == self._vendor.path]

    @property
    def journal(self) -> list[Any]:
        """What aimock itself has noted of the paid calls, in order."""
        return [
            one
            for one in self._aimock.control("GET", f"/journal?testId={self._own}")
            if one["path"] == self._vendor.path
        ]


@asynccontextmanager
async def peer(
    aimock: Aimock, wire: str, fixtures: Sequence[Mapping[str, Any]], *, delay: float = 0.0, **settings: Any
) -> AsyncIterator[Peer]:
    """Connect a provider to aimock, which gives some fixtures in order, the last one again and again.

    Args:
        aimock: the server.
        wire: name of the vendor.
        fixtures: as aimock documents them, but for ``match``; one that has it keeps it and is no part of the order.
        delay: seconds before each answer.
        settings: of the provider.
    """
    own, vendor = uuid4().hex, VENDORS[wire]
    await asyncio.to_thread(aimock.control, "POST", "/fixtures", {"fixtures": _placed(fixtures, own)})
    if delay:
        chaos = {"latencyMs": round(delay * 1000)}
        await asyncio.to_thread(aimock.control, "POST", "/chaos", chaos, {"x-test-id": own})
    headers = {"x-test-id": own, "x-aimock-context": own}
    async with Tap(aimock.origin) as tap, AsyncExitStack() as stack:
        given = {"api_key": KEY, "base_url": tap.origin + vendor.prefix, "headers": headers, **vendor.settings}
        provider = await stack.enter_async_context(vendor.connect(**{**given, **settings}))
        yield Peer(aimock, vendor, provider, tap, stack, own)


def _placed(fixtures: Sequence[Mapping[str, Any]], own: str) -> list[dict[str, Any]]:
    last = len(fixtures) - 1
    places = [{"sequenceIndex": place} if place < last else {} for place in range(len(fixtures))]
    return [
        {**fixture, "match": {**fixture.get("match", place), "context": own}}
        for place, fixture in zip(places, fixtures, strict=True)
    ]


def fixtures_of(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return answers as aimock's fixtures; ``ECHO`` as one for each mark."""
    if ECHO in answers:
        return [{**fixture_of(Answer(text=mark)), "match": {"userMessage": mark}} for mark in MARKS]
    return [fixture_of(answer) for answer in answers]


def fixture_of(answer: Answer) -> dict[str, Any]:
    """Return an answer as one of aimock's fixtures."""
    response: dict[str, Any] = {"model": answer.model}
    if answer.finish not in ("stop", "tool_calls"):
        response["finishReason"] = {"pause": "pause_turn"}.get(answer.finish, answer.finish)
    if answer.spent is not None:
        spent = answer.spent
        response["usage"] = {
            "prompt_tokens": spent.prompt,
            "completion_tokens": spent.completion,
            "total_tokens": spent.prompt + spent.completion,
        }
    if answer.text or not answer.calls:
        response["content"] = answer.text
    if answer.thinking is not None:
        response["reasoning"] = answer.thinking
    if answer.calls:
        response["toolCalls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.calls
        ]
    return {"response": response, "chunkSize": PIECE}


@asynccontextmanager
async def served(aimock: Aimock, wire: str, answers: Sequence[Answer], delay: float) -> AsyncIterator[Served]:
    """Serve answers as the contracts ask."""
    async with peer(aimock, wire, fixtures_of(answers), delay=delay) as one:
        yield Served(one.provider, lambda: one.sent, one.close)
