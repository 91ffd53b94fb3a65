"""The fault contract: whatever a server does, the caller sees one of focal's errors or a true answer, in time."""

from __future__ import annotations

import asyncio
import logging
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

from focal_core.errors import OutputError
from focal_core.providers import retry
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import CallOptions, Done, LLMMessage, LLMRequest, TextDelta
from focal_testkit.contracts.providers.answers import ANSWERS, TOOL_CALLS
from focal_testkit.contracts.providers.connections import CONNECTIONS
from focal_testkit.contracts.providers.fault_case import (
    KEY,
    MODEL,
    PROMPT,
    STRUCTURED_ANSWER,
    TEXTS,
    FaultCase,
    Mode,
    Outcome,
    Report,
    Wire,
    quiet,
)
from focal_testkit.contracts.providers.outputs import OUTPUTS
from focal_testkit.contracts.providers.replies import BODIES, STATUSES
from focal_testkit.contracts.providers.serving import skip_unless_able
from focal_testkit.contracts.providers.streams import STREAMS
from focal_testkit.contracts.providers.vectors import VECTORS
from focal_testkit.faults.wire import TASK_NAME, WireServer
from focal_testkit.faults.wire_dialect import ANSWER
from focal_testkit.faults.wire_dialects import DIALECTS
from focal_testkit.faults.wire_embeddings import DIMENSIONS, vector_of
from focal_testkit.requirement import requirement

GRACE = 0.1
"""Seconds by which a call may outlive its deadline."""
_SHARED = 24
_PATIENCE = 8.0
_CASES: Sequence[FaultCase] = (*ANSWERS, *TOOL_CALLS, *OUTPUTS, *BODIES, *STATUSES, *CONNECTIONS, *STREAMS, *VECTORS)


@pytest.mark.clock
class WireContract(ABC):
    """What a contract over a wire needs: a subclass names the dialect and connects to a server that speaks it.

    Attributes:
        dialect: ``anthropic``, ``openai-responses``, ``openai-chat`` or ``openai-embeddings``.
    """

    dialect: ClassVar[str]

    @abstractmethod
    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[Any]:
        """Return an async context manager that yields the provider under test, and closes it.

        Args:
            base_url: of the server, with whatever path the vendor's own address has.
            settings: ``api_key`` and ``model``; for embeddings ``api_key``, ``embedding_model`` and ``dimensions``.
        """

    def settings(self) -> dict[str, Any]:
        """Return what ``connect`` is given beside the address."""
        if self.dialect == "openai-embeddings":
            return {"api_key": KEY, "embedding_model": MODEL, "dimensions": DIMENSIONS}
        return {"api_key": KEY, "model": MODEL}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test once for each fault that applies to its kind of call."""
        for mode in ("generate", "stream", "structured", "embed"):
            if f"{mode}_case" in metafunc.fixturenames:
                cases = [case for case in _CASES if case.applies(DIALECTS[self.dialect], mode)]
                metafunc.parametrize(f"{mode}_case", cases, ids=str)

    async def meet(
        self, case: FaultCase, mode: Mode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Make the calls of a case and check everything that holds for any."""
        monkeypatch.setattr(retry, "FIRST_BACKOFF", 0.01)
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.DEBUG, "focal_core")
        dialect = DIALECTS[self.dialect]
        tasks = frozenset(asyncio.all_tasks())
        async with WireServer([()]) as elsewhere:
            script = case.script(Wire(dialect, mode, elsewhere.origin))
            async with WireServer(script, route=dialect.route) as server:
                if case.refused:
                    server.refuse()
                async with self.connect(dialect.base_url(server.origin), **self.settings()) as provider:
                    skip_unless_able(provider, case.needs)
                    before = 0
                    for _ in range(case.calls):
                        outcome = await _call(provider, mode, case.options, server, elsewhere)
                        _judge(case, mode, outcome, server.attempts - before, provider.name)
                        before = server.attempts
                        case.check(outcome)
                        if case.calls > 1:
                            # What the server closes behind a reply is closed before the next call, not during it.
                            await server.settles_at(0, within=0.05)
                            await asyncio.sleep(0.01)
                    assert await server.rests(within=0.2), "a connection nobody waits for is still open"
                assert await server.settles_at(0, within=0.5), "a socket is still open"
            assert [dialect.problems(call) for call in server.calls] == [[] for _ in server.calls]
            assert elsewhere.connections == 0
        assert await quiet(tasks, TASK_NAME, within=0.5) == []
        assert _leaks(caplog.text) == []


class FaultContract(WireContract):
    """Everything a language model's server can do wrong, in every kind of call."""

    @requirement("FAULT-GENERATE", since="1.1")
    async def test_provider_faults_generate(
        self, generate_case: FaultCase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever a server does, ``generate`` returns the true answer or raises the error that names it, in time.

        Attempts are as many as the server counted, no task or socket is left, and neither the error nor a log line
        holds the key, the prompt or the answer.

        If this fails: the name of the case says what the server did.
        """
        await self.meet(generate_case, "generate", monkeypatch, caplog)

    @requirement("FAULT-STREAM", since="1.1")
    async def test_provider_faults_stream(
        self, stream_case: FaultCase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever a server does, a stream ends with the whole answer or raises the error that names it, in time.

        Nothing is retried behind the first event.

        If this fails: as ``test_provider_faults_generate``.
        """
        await self.meet(stream_case, "stream", monkeypatch, caplog)

    @requirement("FAULT-STRUCTURED", since="1.1")
    async def test_provider_faults_structured(
        self, structured_case: FaultCase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever a server does, structured output is valid or an error that holds the paid answer.

        If this fails: as ``test_provider_faults_generate``.
        """
        await self.meet(structured_case, "structured", monkeypatch, caplog)


class EmbeddingFaultContract(WireContract):
    """Everything an embedding server can do wrong."""

    dialect: ClassVar[str] = "openai-embeddings"

    @requirement("FAULT-EMBED", since="1.1")
    async def test_provider_faults_embed(
        self, embed_case: FaultCase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever a server does, each text has its own usable vector or the call raises the error that names it.

        If this fails: as ``test_provider_faults_generate``.
        """
        await self.meet(embed_case, "embed", monkeypatch, caplog)


async def _call(provider: Any, mode: Mode, options: CallOptions, server: WireServer, elsewhere: WireServer) -> Outcome:
    text, result, failure = list[str](), None, None
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        async with asyncio.timeout(_PATIENCE):
            result = await _ask(provider, mode, options, text)
    except Exception as error:
        failure = error
    return Outcome(result, failure, "".join(text), clock() - started, server, elsewhere)


async def _ask(provider: LLMProvider | EmbeddingProvider, mode: Mode, options: CallOptions, text: list[str]) -> Any:
    if isinstance(provider, EmbeddingProvider):
        return await provider.embed(TEXTS, options=options)
    request = LLMRequest(messages=(LLMMessage(role="user", content=PROMPT),), max_tokens=64)
    if mode == "generate":
        return await provider.generate(request, options=options)
    if mode == "structured":
        return (await provider.generate_structured(request, Report, options=options)).response
    async with provider.stream(request, options=options) as stream:
        ends = 0
        async for event in stream:
            assert not ends, "an event behind Done"
            if isinstance(event, TextDelta):
                text.append(event.text)
            ends += isinstance(event, Done)
        return await stream.response()


def _judge(case: FaultCase, mode: Mode, outcome: Outcome, counted: int, name: str) -> None:
    error = outcome.error
    if case.options.deadline is not None:
        assert outcome.elapsed <= case.options.deadline + GRACE
    if case.error is None:
        if error is not None:
            raise error
        attempts = outcome.result.attempts
        assert attempts[-1].outcome == "ok"
        _judge_answer(mode, outcome, name)
    else:
        assert isinstance(error, case.error), f"{error!r} in place of {case.error.__name__}, result {outcome.result!r}"
        assert error.code in (case.code or case.error.default_code).split("|")
        assert error.retryable is (case.error.default_retryable if case.retryable is None else case.retryable)
        assert error.provider == name
        assert error.model
        assert _leaks(str(error), repr(error), str(error.hint), repr(error.details)) == []
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.code, copy.retry_after) == (type(error), error.code, error.retry_after)
        if isinstance(error, OutputError) and error.response is not None:
            attempts = error.response.attempts
        else:
            attempts = error.attempts
            assert attempts[-1].outcome == error.code
    assert [attempt.n for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert case.attempts in (None, len(attempts))
    assert counted == (0 if case.refused else len(attempts))


def _judge_answer(mode: Mode, outcome: Outcome, name: str) -> None:
    result = outcome.result
    if mode == "embed":
        assert result.embeddings == [vector_of(text) for text in TEXTS]
        return
    assert result.provider == name
    if mode == "stream":
        assert result.text == outcome.text
    if result.finish_reason == "stop":
        assert result.text == (STRUCTURED_ANSWER if mode == "structured" else ANSWER)


def _leaks(*shown: str) -> list[str]:
    """Return which secrets, or pieces of them that are long enough to be recognized, are shown."""
    secrets = (KEY, PROMPT, ANSWER, STRUCTURED_ANSWER, *TEXTS)
    windows = [text[at : at + _SHARED] for text in secrets for at in range(max(1, len(text) - _SHARED + 1))]
    return [window for window in windows if len(window) == _SHARED and any(window in one for one in shown)]
