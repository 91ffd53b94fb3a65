"""The reference providers of the kit under the fault contracts: each fault can be met, and each check can be passed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from focal_testkit.contracts.providers import FaultContract
from focal_testkit.mutants.providers.reference_llm import ReferenceLLM


class TestReferenceFaults(FaultContract):
    dialect: ClassVar[str] = "openai-chat"

    @asynccontextmanager
    async def connect(self, base_url: str, **settings: Any) -> AsyncIterator[ReferenceLLM]:
        async with aclosing(ReferenceLLM(base_url, **settings)) as llm:
            yield llm
