"""Key, prompt and answer are nowhere but where they belong: not in logs, reprs, errors, spans, metrics or reports."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("opentelemetry", reason="opentelemetry-api is not installed")

from opentelemetry import metrics, trace

from focal_core import Focal
from focal_core.errors import FocalError
from focal_core.providers import retry
from focal_core.providers.models import CallOptions, LLMMessage, LLMRequest, ToolSpec
from focal_testkit.contracts.providers.fault_case import KEY, PROMPT, STRUCTURED_ANSWER, TEXTS, Report
from focal_testkit.contracts.providers.serving import values_in
from focal_testkit.faults.wire import Close, Exchange, Received, WireServer, chunk, json_reply, reply, stream_head
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Call, WireDialect
from focal_testkit.faults.wire_dialects import DIALECTS
from focal_testkit.faults.wire_embeddings import DIMENSIONS, EmbeddingsDialect

pytestmark = pytest.mark.asyncio

SYSTEM = "You know everything about the marsupials of Tasmania, and tell nobody of their burrows."
HEADER = "gateway-secret-9876543210-abcdef"
ARGUMENTS = '{"place": "under the old tree at the northern end of the lake"}'
SECRETS = (KEY, HEADER, PROMPT, SYSTEM, ANSWER, STRUCTURED_ANSWER, ARGUMENTS, *TEXTS[:2])
SHARED = 24
"""As many characters of a secret in a row give it away."""
OPTIONS = CallOptions(max_attempts=2, tenant_id=UUID(int=7))
TOOL = ToolSpec(
    name="dig",
    description="Digs.",
    input_schema={
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
)


class Telemetry(trace.Span):
    """A tracer, a meter, every span and every instrument in one: it keeps whatever it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def keep(*arguments: Any, **named: Any) -> Telemetry:
            self.told.append((name, arguments, named))
            return self

        return keep

    def get_span_context(self) -> trace.SpanContext:
        return trace.SpanContext(1, 1, is_remote=False)

    def is_recording(self) -> bool:
        return True

    def end(self, end_time: int | None = None) -> None:
        self.told.append("end")

    def set_attributes(self, attributes: Any) -> None:
        self.told.append(dict(attributes))

    def set_attribute(self, key: str, value: Any) -> None:
        self.told.append((key, value))

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self.told.append((name, dict(attributes or {})))

    def update_name(self, name: str) -> None:
        self.told.append(name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.told.append((status, description))

    def record_exception(self, exception: BaseException, *arguments: Any, **named: Any) -> None:
        self.told.append(traceback.format_exception(exception))


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    """Be the application's tracer and meter."""
    found = Telemetry()
    monkeypatch.setattr(trace, "get_tracer", lambda *_, **__: found)
    monkeypatch.setattr(metrics, "get_meter", lambda *_, **__: found)
    monkeypatch.setattr(retry, "FIRST_BACKOFF", 0.01)
    return found


def given_away(*shown: str) -> set[str]:
    """Return the secrets of which somebody could see a recognizable piece."""
    text = "\n".join(shown)
    return {
        secret
        for secret in SECRETS
        if any(secret[at : at + SHARED] in text for at in range(max(1, len(secret) - SHARED + 1)))
    }


def echo(request: Received) -> str:
    """Return everything a server was told, as it might quote it."""
    texts = [value for value in values_in(request.json()) if isinstance(value, str)]
    return f"cannot answer {' and '.join(texts)!r} for {request.headers['authorization']}, {request.headers['x-gate']}"


def faults(dialect: WireDialect) -> Mapping[str, list[Exchange]]:
    """Return what a server does that fails and quotes all it was told."""

    def refusal(kind: str) -> Exchange:
        status, body = dialect.error(kind)
        return lambda request: [json_reply(status, {**body, "error": {**body["error"], "message": echo(request)}})]

    kinds = ("authentication_failed", "invalid_request", "quota_exceeded", "model_not_found", "server_error")
    page = {"content-type": "text/html"}
    return {
        **{kind: [refusal(kind)] for kind in kinds},
        "page": [lambda request: [reply(200, f"<html>{echo(request)}</html>".encode(), page)]],
        "broken": [lambda request: [reply(200, f'{{"a": "{echo(request)}'.encode())]],
        "nonsense": [lambda request: [json_reply(200, {"echo": echo(request)})]],
    }


def llm_faults(dialect: WireDialect) -> Mapping[str, list[Exchange]]:
    """Return the same and what else a server of language models does, right or wrong."""
    cut = [stream_head(dialect.headers()), *(chunk(one.encode()) for one in dialect.opening()), Close()]
    calls = Answer(calls=(Call("c1", "dig", ARGUMENTS),), finish="tool_calls")

    def either(answer: Answer) -> Exchange:
        return lambda request: (dialect.streamed if request.json().get("stream") else dialect.good)(answer)

    return {
        **faults(dialect),
        "good": [either(Answer())],
        "calls": [either(calls)],
        "length": [either(Answer(text=STRUCTURED_ANSWER[:-4], finish="length"))],
        "refusal": [either(Answer(finish="refusal"))],
        "cut": [cut],
        "error_event": [dialect.stream_of([*dialect.opening(), *dialect.error_events("server_error")])],
        "second_try": [dialect.refused("server_error"), either(Answer())],
    }


LLMS = {
    "anthropic": {"use": "anthropic"},
    "openai-responses": {"use": "openai"},
    "openai-chat": {"use": "openai", "api": "chat"},
}
LLM_CASES = [(wire, fault) for wire in LLMS for fault in llm_faults(DIALECTS[wire])]
EMBEDDINGS = EmbeddingsDialect()
EMBEDDING_FAULTS = {**faults(EMBEDDINGS), "good": [EMBEDDINGS.answered()]}


@asynccontextmanager
async def opened(dialect: WireDialect, script: list[Exchange], **settings: Any) -> AsyncIterator[Focal]:
    """Open a Focal whose one backend asks a server with a script."""
    async with WireServer(script, route=dialect.route) as server:
        backend = {
            "api_key": KEY,
            "headers": {"x-gate": HEADER},
            "base_url": dialect.base_url(server.origin),
            **settings,
        }
        port = "embedding" if isinstance(dialect, EmbeddingsDialect) else "llm"
        async with Focal.open({"providers": {port: "it"}, "backends": {"it": backend}}) as focal:
            yield focal


async def everything_shown(
    focal: Focal, ask: list[Callable[[], Any]], telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> tuple[str, ...]:
    """Make calls, and return all that anybody could see without asking for an answer."""
    caplog.set_level(logging.INFO)
    for name in ("focal", "focal_core", "focal_providers"):
        caplog.set_level(logging.DEBUG, name)
    shown = []
    for one in ask:
        try:
            await one()
        except FocalError as error:
            shown += [str(error), repr(error), repr(error.details), str(error.hint)]
            shown += traceback.format_exception(error)
    backend = focal.backends["it"]
    port = focal.embedding if "embedding" in focal.settings.providers.model_dump(exclude_none=True) else focal.llm
    held = (focal, focal.settings, backend, vars(backend), port, vars(port), telemetry.told)
    report = await focal.health()
    return (*shown, *map(repr, held), repr(report.as_dict()), caplog.text)


@pytest.mark.parametrize(("wire", "fault"), LLM_CASES, ids=[f"{wire}-{fault}" for wire, fault in LLM_CASES])
async def test_calls_to_language_models_tell_nothing(
    wire: str, fault: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole, streamed, left early, structured and counted, against a server that quotes whatever it is told."""
    dialect = DIALECTS[wire]
    request = LLMRequest(
        messages=(LLMMessage(role="user", content=PROMPT),), system=SYSTEM, tools=(TOOL,), end_user=TEXTS[1][:64]
    )

    async def streamed(*, whole: bool) -> None:
        async with focal.llm.stream(request, options=OPTIONS) as stream:
            repr(await anext(stream))
            assert given_away(repr(stream)) == set()
            if whole:
                await stream.response()

    async with opened(dialect, llm_faults(dialect)[fault], model="m", **LLMS[wire]) as focal:
        ask: list[Callable[[], Any]] = [
            lambda: focal.llm.generate(request, options=OPTIONS),
            lambda: streamed(whole=True),
            lambda: streamed(whole=False),
            lambda: focal.llm.generate_structured(request, Report, max_repairs=1, options=OPTIONS),
            lambda: focal.llm.count_tokens(request),
        ]
        shown = await everything_shown(focal, ask, telemetry, caplog)

    assert "gen_ai.client.operation.duration" in repr(telemetry.told)
    assert given_away(*shown) == set()


@pytest.mark.parametrize("fault", EMBEDDING_FAULTS)
async def test_calls_to_embedding_models_tell_nothing(
    fault: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """In one batch and in several."""
    settings = {"use": "openai", "embedding_model": "m", "dimensions": DIMENSIONS}
    async with opened(EMBEDDINGS, EMBEDDING_FAULTS[fault], **settings) as focal:
        ask: list[Callable[[], Any]] = [
            lambda: focal.embedding.embed(TEXTS, options=OPTIONS),
            lambda: focal.embedding.embed_batch(TEXTS, 1),
        ]
        shown = await everything_shown(focal, ask, telemetry, caplog)

    assert given_away(*shown) == set()


async def test_the_search_finds_what_is_told(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Spans that were asked to hold prompts and answers do."""
    dialect = DIALECTS["anthropic"]
    async with WireServer([dialect.good()], route=dialect.route) as server:
        backend = {"use": "anthropic", "model": "m", "api_key": KEY, "base_url": server.origin}
        settings = {"providers": {"llm": "it", "trace_content": True}, "backends": {"it": backend}}
        async with Focal.open(settings) as focal:
            shown = await everything_shown(focal, [lambda: focal.llm.generate_text(PROMPT)], telemetry, caplog)

    assert {PROMPT, ANSWER} <= given_away(*shown)
    assert KEY not in given_away(*shown)
