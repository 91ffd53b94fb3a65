"""The vendors' own servers, asked a few small things; skipped without a key.

At most 20 calls of 64 tokens. Models: ``FOCAL_LIVE_ANTHROPIC_MODEL``, ``FOCAL_LIVE_OPENAI_MODEL`` and
``FOCAL_LIVE_OPENAI_EMBEDDING_MODEL``, or the constants below.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any

import pytest
from pydantic import BaseModel

from focal_core.errors import Throttled
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider

ANTHROPIC_MODEL = os.environ.get("FOCAL_LIVE_ANTHROPIC_MODEL", "claude-haiku-5-5")
OPENAI_MODEL = os.environ.get("FOCAL_LIVE_OPENAI_MODEL", "gpt-5-mini")
OPENAI_EMBEDDING_MODEL = os.environ.get("FOCAL_LIVE_OPENAI_EMBEDDING_MODEL", "text-embedding-3-small")
EMBEDDING_DIMENSIONS = 1536
PATIENT = {"max_tokens": 64, "max_attempts": 5, "max_retry_after": 60.0, "deadline": 180.0}

pytestmark = [pytest.mark.live, pytest.mark.asyncio]


def needs(variable: str) -> pytest.MarkDecorator:
    """Skip a test where a variable holds no key, and say which."""
    return pytest.mark.skipif(not os.environ.get(variable, "").strip(), reason=f"{variable} not set")


anthropic_key, openai_key = needs("ANTHROPIC_API_KEY"), needs("OPENAI_API_KEY")


def within_limits(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Let a test that met a rate limit again and again fail with the one line that matters."""

    @wraps(test)
    async def run(*arguments: Any, **named: Any) -> None:
        try:
            await test(*arguments, **named)
        except Throttled as error:
            pytest.fail(f"{error.provider} limits this key: {error}", pytrace=False)

    return run


def claude() -> AbstractAsyncContextManager[LLMProvider]:
    from focal_providers.anthropic.llm import AnthropicProvider

    return AnthropicProvider.connect(model=ANTHROPIC_MODEL, **PATIENT)


class Burrow(BaseModel):
    """Where an animal lives."""

    animal: str
    underground: bool


async def says_hello(llm: LLMProvider) -> None:
    response = await llm.generate_text("Answer with the one word: hello")

    assert "hello" in response.text.lower()
    assert response.usage.reported
    assert response.usage.prompt_tokens > 0
    assert response.usage.completion_tokens > 0
    assert response.request_id
    assert response.attempts[-1].outcome == "ok"


async def answers_in_form(llm: LLMProvider) -> None:
    burrow, response = await llm.generate_structured("A wombat lives in a burrow under the ground.", Burrow)

    assert "wombat" in burrow.animal.lower()
    assert burrow.underground
    assert response.finish_reason == "stop"


async def streams_what_it_says(llm: LLMProvider) -> None:
    from focal_core.providers.models import LLMMessage, LLMRequest, TextDelta

    request = LLMRequest(messages=(LLMMessage(role="user", content="Count from one to five, in words."),))
    async with llm.stream(request) as stream:
        text = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
        response = await stream.response()

    assert text == response.text
    assert "three" in text.lower()


@anthropic_key
class TestAnthropicLive:
    @within_limits
    async def test_generate(self) -> None:
        """FR-019: text, with usage and the vendor's id."""
        async with claude() as llm:
            await says_hello(llm)

    @within_limits
    async def test_structured_output(self) -> None:
        """FR-019: a validated value."""
        async with claude() as llm:
            await answers_in_form(llm)

    @within_limits
    async def test_stream_concatenates(self) -> None:
        """The pieces are the whole."""
        async with claude() as llm:
            await streams_what_it_says(llm)

    @within_limits
    async def test_usage_reported(self) -> None:
        """The vendor counts beforehand what it then reports, give or take what it adds itself."""
        from focal_core.providers.models import LLMMessage, LLMRequest

        request = LLMRequest(messages=(LLMMessage(role="user", content="Say hello."),))
        async with claude() as llm:
            counted = await llm.count_tokens(request)
            spent = (await llm.generate(request)).usage

        assert counted.exact
        assert abs(counted.tokens - spent.prompt_tokens) <= 10

    @within_limits
    async def test_health_knows_the_model(self) -> None:
        """The probe asks for the model, which costs nothing."""
        async with claude() as llm:
            assert (await llm.health(probe=True)).status == "ok"


@asynccontextmanager
async def openai_embeddings() -> AsyncIterator[EmbeddingProvider]:
    from focal_providers.openai.embedding import OpenAIEmbeddings

    async with OpenAIEmbeddings.connect(embedding_model=OPENAI_EMBEDDING_MODEL, deadline=180.0) as embeddings:
        yield embeddings


def gpt() -> AbstractAsyncContextManager[LLMProvider]:
    from focal_providers.openai.llm import OpenAIProvider

    return OpenAIProvider.connect(model=OPENAI_MODEL, **PATIENT)


@openai_key
class TestOpenAILive:
    @within_limits
    async def test_generate(self) -> None:
        """FR-020: text, with usage and the vendor's id."""
        async with gpt() as llm:
            await says_hello(llm)

    @within_limits
    async def test_structured_output(self) -> None:
        """FR-020: a validated value."""
        async with gpt() as llm:
            await answers_in_form(llm)

    @within_limits
    async def test_stream_concatenates(self) -> None:
        """The pieces are the whole."""
        async with gpt() as llm:
            await streams_what_it_says(llm)

    @within_limits
    async def test_embedding_dimensions(self) -> None:
        """FR-020: vectors of the size the space declares."""
        async with openai_embeddings() as embeddings:
            response = await embeddings.embed(["A wombat digs.", "A quokka smiles."])

            assert embeddings.spec.dimensions == EMBEDDING_DIMENSIONS
            assert [len(vector) for vector in response.embeddings] == [EMBEDDING_DIMENSIONS] * 2

    @within_limits
    async def test_embedding_order(self) -> None:
        """Each vector belongs to its text."""
        texts = ["A wombat digs.", "The tax return is due in May."]
        async with openai_embeddings() as embeddings:
            forth = (await embeddings.embed(texts)).embeddings
            back = (await embeddings.embed(texts[::-1])).embeddings[::-1]

        for vector, same, other in zip(forth, back, back[::-1], strict=True):
            assert _product(vector, same) > _product(vector, other)


def _product(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
