"""Settings of embeddings, batches, and vectors as they come over the wire."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from array import array
from base64 import b64encode
from math import inf, nan
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError, MissingCredentials, SettingsError
from focal_core.providers.tokens import estimate_text
from focal_core.usage import TokenUsage
from focal_providers import client as module
from focal_providers.openai.backend import OpenAIBackend
from focal_providers.openai.embedding import OpenAIEmbeddings, _batches
from focal_providers.openai.llm import OpenAIProvider
from focal_providers.openai.settings import OpenAIClient, OpenAIOptions
from focal_providers.openai.vectors import read_embeddings


def options(**given: Any) -> OpenAIOptions:
    return OpenAIOptions.model_validate({"api_key": "sk-quokka", **given})


def embeddings(**given: Any) -> OpenAIEmbeddings:
    settings = options(**given)
    return OpenAIEmbeddings(OpenAIClient(settings), settings)


SMALL, LARGE, ADA, OWN = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002", "own"


@pytest.mark.parametrize(
    ("given", "length", "asked"),
    [
        ({"embedding_model": SMALL}, 1536, None),
        ({"embedding_model": LARGE}, 3072, None),
        ({"embedding_model": ADA}, 1536, None),
        ({"embedding_model": ADA, "dimensions": 1536}, 1536, None),
        ({"embedding_model": SMALL, "dimensions": 256}, 256, 256),
        ({"embedding_model": SMALL, "dimensions": 1536}, 1536, None),
        ({"embedding_model": SMALL, "send_dimensions": True}, 1536, 1536),
        ({"embedding_model": OWN, "dimensions": 384}, 384, None),
        ({"embedding_model": OWN, "dimensions": 384, "send_dimensions": True}, 384, 384),
    ],
)
def test_provider_e9_the_length_is_known_and_sent_where_it_matters(
    given: dict[str, Any], length: int, asked: int | None
) -> None:
    """OpenAI's own models have a length of their own; others must be told, and are not asked for it."""
    settings = options(**given)
    assert (settings.vector_length, settings.asked_dimensions) == (length, asked)
    assert embeddings(**given).dimensions == length


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"embedding_model": OWN}, "dimensions must be set"),
        ({"embedding_model": ADA, "dimensions": 256}, "1536 dimensions, always"),
        ({"embedding_model": ADA, "send_dimensions": True}, "takes no dimensions"),
        ({"embedding_model": SMALL, "dimensions": 1537}, "at most"),
        ({"embedding_model": SMALL, "dimensions": 256, "send_dimensions": False}, "must be sent"),
        ({"batch_size": 2049}, "2048"),
        ({"organization": "a b"}, "pattern"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], words: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValidationError, match=words):
        options(**given)


def test_the_space_may_have_a_name_of_its_own() -> None:
    """Vectors of one model from two servers belong together; only OpenAI's are known to be of length 1."""
    assert embeddings(embedding_model=SMALL).spec.model == SMALL
    named = embeddings(embedding_model=OWN, dimensions=8, embedding_space="shared").spec
    assert (named.model, named.normalized, named.max_input_tokens) == ("shared", False, None)


def test_provider_e4_batches_respect_count_and_tokens() -> None:
    """Estimates are doubted; a text that is too long for any batch stands alone."""
    assert list(_batches(list("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(_batches([], 2)) == []
    third = "word " * (100_000 * 4 // 5 * 2 // 3)
    assert estimate_text(third) * 3 / 2 == pytest.approx(100_000, rel=0.01)
    assert [len(batch) for batch in _batches([third + "a", third + "b", third + "c", "d"], 9)] == [2, 2]
    huge = third * 5
    assert list(_batches(["a", huge, "b"], 9)) == [["a"], [huge], ["b"]]


def rows(*vectors: Any, usage: Any = None) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"data": data, "usage": usage}).encode()


def packed(*values: float) -> str:
    return b64encode(array("f", values).tobytes()).decode()


def test_provider_e8_both_forms_are_the_same_float32() -> None:
    """Whether as base64 or as numbers, values are those of float32."""
    whole = read_embeddings(rows(packed(0.1, -2.5), [0.1, -2.5], usage={"prompt_tokens": 7, "total_tokens": 7}))
    first, second = whole.placed(2, 2)
    assert first == second == array("f", [0.1, -2.5]).tolist()
    assert whole.usage == TokenUsage(prompt_tokens=7)


def test_provider_e3_vectors_are_placed_by_index() -> None:
    """The order in which they come means nothing."""
    data = [{"index": 2, "embedding": [3]}, {"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}]
    assert read_embeddings(json.dumps({"data": data}).encode()).placed(3, 1) == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    "vector",
    [[nan, 1], [inf, -inf], [1e300, 1], [0, -0.0], [1], [1, 2, 3], "AAAA", "%", None, [None, 1], ["1", 2], {"a": 1}],
    ids=str,
)
def test_provider_e3_a_vector_of_no_use_is_refused(vector: Any) -> None:
    """Not finite, zero, of another length, or none."""
    with pytest.raises((ValueError, TypeError)):
        read_embeddings(rows([1, 2], vector)).placed(2, 2)


async def opened(**given: Any) -> OpenAIBackend:
    backend = OpenAIBackend(options(**given), BackendContext())
    await backend.open()
    return backend


@pytest.mark.asyncio
async def test_the_backend_serves_both_ports_over_one_client() -> None:
    """Embeddings where they are configured; closing twice is fine."""
    backend = await opened(model="m", embedding_model=SMALL)
    assert backend.port("llm") is backend.port("llm")
    assert isinstance(backend.port("llm"), OpenAIProvider)
    assert isinstance(backend.port("embedding"), OpenAIEmbeddings)
    assert (await backend.health()).status == "ok"
    await backend.close()
    await backend.close()
    assert (await backend.health()).status == "down"
    alone = OpenAIBackend(options(model="m"), BackendContext())
    for port, hint in (("embedding", "embedding_model"), ("rerank", "embedding")):
        with pytest.raises(ConfigurationError) as caught:
            alone.port(port)
        assert hint in str(caught.value.hint)


@pytest.mark.asyncio
async def test_provider_x5_a_missing_key_is_told_at_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting and the variable, in every way to open."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingCredentials) as caught:
        async with OpenAIEmbeddings.connect(embedding_model=SMALL):
            pytest.fail("it opened without a key")
    assert "OPENAI_API_KEY" in str(caught.value.hint)
    with pytest.raises(SettingsError, match="dimensions must be set"):
        async with OpenAIEmbeddings.connect(embedding_model=OWN, api_key="sk"):
            pytest.fail("it opened without a length")


@pytest.mark.asyncio
async def test_the_client_has_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and redirects are off, and whom usage is counted to is for the settings to say."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://elsewhere.example")
    for given in ({}, {"organization": "org", "project": "proj"}):
        client = OpenAIClient(options(**given))
        await client.open()
        inner = client.get()
        assert (inner.organization, inner.project) == (given.get("organization"), given.get("project"))
        assert str(inner.base_url) == "https://api.openai.com/v1/"
        assert inner.max_retries == 0
        assert ("OpenAI-Organization" in _headers(inner)) is bool(given)
        await client.close()


def _headers(client: Any) -> set[str]:
    return {name for name, value in client.default_headers.items() if isinstance(value, str)}


def test_importing_loads_no_sdk_and_no_http_client() -> None:
    """A plugin that is listed, or loaded and not opened, costs next to nothing."""
    code = (
        "import sys, json, focal_providers.openai.backend;"
        "heavy = ('anthropic', 'openai', 'httpx2', 'httpcore2', 'anyio', 'aiohttp');"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in heavy]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.asyncio
async def test_opening_leaves_nothing_to_import_for_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK is imported in a worker thread, its resources included."""
    threads: list[bool] = []
    loaded = module.load

    def load(vendor: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append(True)
        return loaded(vendor)

    monkeypatch.setattr(module, "load", load)
    client = OpenAIClient(options(model="m"))
    await client.open()
    assert threads == [True]
    assert {"responses", "chat", "embeddings", "models"} <= vars(client.get()).keys()
    await client.close()
