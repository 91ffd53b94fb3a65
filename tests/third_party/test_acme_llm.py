"""A third party's language model under the kit: it names its wire and connects, and inherits everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from focal_testkit.contracts.providers import FaultContract, WireContract, WireLLMContract


class _Acme(WireContract):
    dialect: ClassVar[str] = "openai-chat"

    @asynccontextmanager
    async def connect(self, base_url: str, **settings: Any) -> AsyncIterator[Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(Path(__file__).parent))
            from acme_focal.llm import AcmeLLM
        async with aclosing(AcmeLLM(base_url, **settings)) as llm:
            yield llm


class TestAcmeLLM(_Acme, WireLLMContract):
    pass


class TestAcmeFaults(_Acme, FaultContract):
    pass
