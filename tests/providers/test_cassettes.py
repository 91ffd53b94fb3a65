"""What the vendors really answered, replayed; whoever has a key records: ``nox -s record -- anthropic``."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from tests.providers.recordings import CASSETTES, keylike, recording, vcr_settings
from tests.providers.test_live import ANTHROPIC_MODEL, OPENAI_EMBEDDING_MODEL, OPENAI_MODEL

from focal_core.errors import AuthenticationFailed, ModelNotFound
from focal_core.providers.models import LLMMessage, LLMRequest, TextDelta, ToolSpec
from focal_testkit.contracts.providers.fault_case import KEY
from focal_testkit.faults.wire import WireServer, json_reply
from focal_testkit.faults.wire_dialect import ANSWER
from focal_testkit.faults.wire_dialects import DIALECTS

ONCE = {"max_tokens": 64, "max_attempts": 1}


class Burrow(BaseModel):
    """Where an animal lives."""

    animal: str
    underground: bool


def asking(text: str, **fields: Any) -> LLMRequest:
    return LLMRequest(messages=(LLMMessage(role="user", content=text),), **fields)


class Recorded:
    """Tests of one vendor.

    Attributes:
        sdk: its distribution.
        variable: that holds the key.
    """

    sdk: ClassVar[str]
    variable: ClassVar[str]

    @pytest.fixture
    def vcr_config(self) -> dict[str, Any]:
        return vcr_settings()

    @pytest.fixture
    def vcr_cassette_dir(self) -> str:
        return str(CASSETTES / f"{self.sdk}-{version(self.sdk).split('.')[0]}")

    @pytest.fixture(autouse=True)
    def _key_or_cassette(self, request: pytest.FixtureRequest, vcr_cassette_dir: str) -> None:
        if not recording(request.config):
            if not (Path(vcr_cassette_dir) / f"{type(self).__name__}.{request.node.name}.yaml").exists():
                pytest.skip(f"nothing is recorded: nox -s record -- {self.sdk}, with {self.variable} set")
            pytest.importorskip("pytest_recording", reason="pytest-recording is missing; `nox -s providers` has it")
        elif not os.environ.get(self.variable, "").strip():
            pytest.skip(f"{self.variable} not set")

    def key(self) -> str:
        return os.environ.get(self.variable, "").strip() or KEY


class RecordedLLM(Recorded):
    """What is asked of any language model; a subclass gives ``connect``."""

    def connect(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        raise AssertionError("a subclass gives it")

    async def test_generate(self) -> None:
        """Text, with usage and the vendor's id."""
        async with self.connect() as llm:
            response = await llm.generate_text("Answer with the one word: hello")

        assert "hello" in response.text.lower()
        assert response.finish_reason == "stop"
        assert response.usage.prompt_tokens > 0
        assert response.usage.completion_tokens > 0
        assert response.request_id

    async def test_stream(self) -> None:
        """The pieces are the whole, and tell their usage."""
        async with self.connect() as llm, llm.stream(asking("Count from one to five, in words.")) as stream:
            text = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
            response = await stream.response()

        assert text == response.text
        assert "three" in text.lower()
        assert response.usage.completion_tokens > 0

    async def test_structured_output(self) -> None:
        """A validated value."""
        async with self.connect() as llm:
            burrow, _ = await llm.generate_structured("A wombat lives in a burrow under the ground.", Burrow)

        assert burrow.underground

    async def test_tool_call(self) -> None:
        """A tool is called with arguments of its schema."""
        schema = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}
        tool = ToolSpec(name="dig", description="Digs.", input_schema={**schema, "additionalProperties": False})
        async with self.connect() as llm:
            request = asking("Dig three metres.", tools=(tool,), tool_choice="required")
            response = await llm.generate(request)

        assert response.finish_reason == "tool_calls"
        assert [(call.name, call.arguments) for call in response.tool_calls] == [("dig", {"metres": 3})]

    async def test_unknown_model(self) -> None:
        """The vendor's way to say so is understood."""
        async with self.connect() as llm:
            with pytest.raises(ModelNotFound) as caught:
                await llm.generate(asking("Hello", model="no-such-model"))
        assert caught.value.request_id

    async def test_counted_tokens(self) -> None:
        """Exact where the vendor counts."""
        async with self.connect() as llm:
            counted = await llm.count_tokens(asking("Say hello."))

        assert counted.tokens > 0
        assert counted.exact is bool(llm.capabilities().count_tokens)


@pytest.mark.asyncio
@pytest.mark.vcr
class TestAnthropic(RecordedLLM):
    sdk: ClassVar[str] = "anthropic"
    variable: ClassVar[str] = "ANTHROPIC_API_KEY"

    def connect(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        from focal_providers.anthropic.llm import AnthropicProvider

        return AnthropicProvider.connect(model=ANTHROPIC_MODEL, api_key=self.key(), **ONCE, **settings)


@pytest.mark.asyncio
@pytest.mark.vcr
class TestOpenAI(RecordedLLM):
    sdk: ClassVar[str] = "openai"
    variable: ClassVar[str] = "OPENAI_API_KEY"
    api: ClassVar[str] = "responses"

    def connect(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        from focal_providers.openai.llm import OpenAIProvider

        return OpenAIProvider.connect(model=OPENAI_MODEL, api_key=self.key(), api=self.api, **ONCE, **settings)


@pytest.mark.asyncio
@pytest.mark.vcr
class TestOpenAIChat(TestOpenAI):
    api: ClassVar[str] = "chat"


@pytest.mark.asyncio
@pytest.mark.vcr
class TestOpenAIEmbeddings(Recorded):
    sdk: ClassVar[str] = "openai"
    variable: ClassVar[str] = "OPENAI_API_KEY"

    async def test_embed(self) -> None:
        """Vectors of length 1, each in the declared number of dimensions."""
        from focal_providers.openai.embedding import OpenAIEmbeddings

        connection = OpenAIEmbeddings.connect(
            embedding_model=OPENAI_EMBEDDING_MODEL, api_key=self.key(), dimensions=256, max_attempts=1
        )
        async with connection as embeddings:
            vectors = (await embeddings.embed(["A wombat digs.", "A quokka smiles."])).embeddings

        assert [len(vector) for vector in vectors] == [256, 256]
        assert all(abs(sum(x * x for x in vector) - 1.0) < 1e-3 for vector in vectors)


@pytest.mark.asyncio
@pytest.mark.parametrize("vendor", ["anthropic", "openai-responses"])
async def test_no_secret_is_recorded(tmp_path: Path, vendor: str) -> None:
    """A recording of a server that shows all it knows holds none of it, and is replayed when the server is gone."""
    vcr = pytest.importorskip("vcr", reason="vcrpy is missing; `nox -s providers` has it")
    tests: Any = TestAnthropic() if vendor == "anthropic" else TestOpenAI()
    dialect, file = DIALECTS[vendor], tmp_path / "cassette.yaml"
    telling = {"set-cookie": "session=abcdef", "openai-organization": "acme", "anthropic-organization-id": "acme"}
    said = f"Incorrect key {KEY} of org-QUOKKA1234 in proj_QUOKKA1234, use Bearer"
    refusal = json_reply(401, {"error": {"message": said, "type": "authentication_error"}}, telling)

    async def ask(origin: str) -> None:
        async with tests.connect(base_url=dialect.base_url(origin)) as llm:
            response = await llm.generate(asking("Hello"))
            assert response.text == ANSWER
            assert response.request_id
            async with llm.stream(asking("Hello")) as stream:
                assert (await stream.response()).text == ANSWER
            with pytest.raises(AuthenticationFailed):
                await llm.generate(asking("Hello again"))

    good = [dialect.good(None, **telling), dialect.streamed(), [refusal]]
    async with WireServer(good, route=dialect.route) as server:
        with vcr.use_cassette(str(file), record_mode="all", **vcr_settings()):
            await ask(server.origin)
    with vcr.use_cassette(str(file), record_mode="none", **vcr_settings()):
        await ask(server.origin)

    assert keylike(file.read_text(encoding="utf-8")) == []


def test_no_secret_is_in_a_cassette() -> None:
    """Nothing that looks like a key, or names who owns it, is in any recording."""
    found = {path.name: keylike(path.read_text(encoding="utf-8")) for path in CASSETTES.rglob("*.yaml")}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "line",
    [
        f"message: key {KEY} is wrong",
        "sk-ant-api03-AbCdEf0123",
        "- Bearer abcdef",
        "X-Api-Key:",
        "set-cookie:",
        "org-AbCdEf012345",
        "openai-organization:",
        "token eyJhbGciOiJIUzI1NiJ9",
    ],
)
def test_the_search_for_secrets_finds_them(line: str) -> None:
    """Each of these, wherever it stands."""
    assert keylike(f"interactions:\n- {line}\n")


def test_the_search_for_secrets_takes_words_for_words() -> None:
    """An answer may speak of risks and projects."""
    assert keylike("a risk-averse wombat, its task-oriented project and an organization of quokkas: org-removed") == []
