"""The scripted model under the rules of language models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from focal_core.providers.models import LLMRequest, LLMResponse
from focal_core.providers.scripted import ScriptedLLM
from focal_testkit.contracts.providers import LLMContract, Served
from focal_testkit.contracts.providers.serving import ECHO, mark_in, response_of
from focal_testkit.faults.wire_dialect import Answer


class TestScriptedLLM(LLMContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        def said(answer: Answer) -> Any:
            def reply(request: LLMRequest) -> LLMResponse:
                text = mark_in(as_sent(request)) if answer is ECHO else None
                return response_of(answer, provider="scripted", text=text)

            return reply

        def as_sent(request: LLMRequest) -> Any:
            return request.model_dump(mode="json", exclude_defaults=True)

        llm = ScriptedLLM([said(answer) for answer in answers], exhausted="last", latency=delay)
        yield Served(llm, lambda: [as_sent(request) for request in llm.calls], llm.aclose)
        await asyncio.sleep(0)
