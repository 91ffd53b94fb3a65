"""The rules of providers, judged by a server that others wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
from tests.providers.peer.scripted import served

from focal_testkit.contracts.providers import EmbeddingContract, LLMContract, Served
from focal_testkit.faults.wire_dialect import Answer, Finish
from focal_testkit.faults.wire_dialects import DIALECTS
from focal_testkit.servers.aimock import Aimock


class _OnAimock:
    wire: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _server(self, aimock: Aimock) -> None:
        self.aimock = aimock

    def serving(self, *answers: Answer, delay: float = 0.0) -> AbstractAsyncContextManager[Served]:
        return served(self.aimock, self.wire, answers, delay)

    def can_finish(self, finish: Finish) -> bool:
        return finish in DIALECTS[self.wire].finishes


class TestAnthropic(_OnAimock, LLMContract):
    wire: ClassVar[str] = "anthropic"


class TestResponses(_OnAimock, LLMContract):
    wire: ClassVar[str] = "openai-responses"


class TestChat(_OnAimock, LLMContract):
    wire: ClassVar[str] = "openai-chat"


class TestEmbeddings(_OnAimock, EmbeddingContract):
    wire: ClassVar[str] = "openai-embeddings"

    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        async with served(self.aimock, self.wire, answers, delay) as one:
            yield replace(one, sent=lambda: [body["input"] for body in one.sent()])
