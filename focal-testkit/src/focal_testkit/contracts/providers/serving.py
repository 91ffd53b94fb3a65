"""What the rules of providers need from whoever is under test: a provider, and what reached the other side."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from focal_core.providers.models import (
    LLMMessage,
    LLMRequest,
    LLMResponse,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from focal_core.usage import TokenUsage
from focal_testkit.faults.wire_dialect import Answer

MARK = re.compile(r"MARK-\d+")
PROMPTNESS = 0.1
"""Seconds within which a cancellation or a deadline must have taken effect."""
ECHO = Answer(text="<echo>")
"""An answer whose text is whatever mark the request held."""


@dataclass
class Served:
    """A provider, and what became of what it was asked.

    Attributes:
        provider: under test.
        sent: returns what reached the other side, one JSON value for each request.
        close: closes the provider and whatever owns its client.
    """

    provider: Any
    sent: Callable[[], Sequence[Any]]
    close: Callable[[], Awaitable[None]]

    @property
    def text(self) -> str:
        """Everything that was sent, as JSON text."""
        return json.dumps(self.sent(), ensure_ascii=False, default=str)


@pytest.mark.clock
class ServingContract(ABC):
    """What a contract of rules is: a subclass gives ``serving`` and inherits every test."""

    @abstractmethod
    def serving(self, *answers: Answer, delay: float = 0.0) -> AbstractAsyncContextManager[Served]:
        """Return an async context manager that yields a provider whose other side gives some answers in order.

        Args:
            answers: the last one again and again; ``ECHO`` answers with the mark found in the request. Embedding and
                rerank providers are given none.
            delay: seconds before each answer.
        """


def asking(text: str = "Does it dig?", **fields: Any) -> LLMRequest:
    """Return a request with one user message."""
    return LLMRequest(messages=(LLMMessage(role="user", content=text),), **fields)


def mark_in(sent: Any) -> str:
    """Return the mark that a request holds."""
    found = MARK.search(json.dumps(sent, ensure_ascii=False, default=str))
    return found.group() if found else ""


def response_of(answer: Answer, *, provider: str, text: str | None = None) -> LLMResponse:
    """Return an answer as focal's own model, for providers without a wire.

    Args:
        answer: to spell.
        provider: wire family.
        text: in place of the answer's.
    """
    said = answer.text if text is None else text
    thinking = (
        [ThinkingPart(text=answer.thinking, opaque={"seal": "c2Vh"}, provider=provider)] if answer.thinking else []
    )
    calls: list[Part] = [
        ToolCallPart(id=call.id, name=call.name, arguments=json.loads(call.arguments), raw_arguments=call.arguments)
        for call in answer.calls
    ]
    usage = TokenUsage(reported=False)
    if (spent := answer.spent) is not None:
        usage = TokenUsage(
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            cache_read_tokens=spent.cache_read,
            cache_write_tokens=spent.cache_write,
            reasoning_tokens=spent.reasoning,
        )
    parts: tuple[Part, ...] = (*thinking, *([TextPart(text=said)] if said else []), *calls)
    return LLMResponse(
        message=LLMMessage(role="assistant", parts=parts),
        finish_reason=answer.finish,
        usage=usage,
        model=answer.model,
        provider=provider,
    )


def keys_in(value: Any) -> set[str]:
    """Return every key of a JSON value, at any depth."""
    if isinstance(value, Mapping):
        return set(value).union(*(keys_in(inner) for inner in value.values()))
    if isinstance(value, list | tuple):
        return set[str]().union(*(keys_in(inner) for inner in value))
    return set()


def values_in(value: Any) -> list[Any]:
    """Return every value of a JSON value that is no container, at any depth."""
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in values_in(inner)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in values_in(inner)]
    return [value]


def skip_unless_able(provider: Any, capability: str | None) -> None:
    """Skip a test that means nothing where the provider says that it cannot do a thing, and so refuses it."""
    if capability is not None and getattr(provider.capabilities(), capability) is False:
        pytest.skip(f"the provider says that it is not capable of: {capability}")
