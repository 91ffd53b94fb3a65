"""OpenAI's embeddings, and those of compatible servers, behind focal's embedding port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any, ClassVar, Self

from focal_core.errors import ContentTooLarge, ContextTooLong, DeadlineExceeded, ProviderError
from focal_core.providers.embedding import EmbeddingProvider, check_texts
from focal_core.providers.models import NO_OPTIONS, Attempt, CallOptions, EmbeddingResponse, EmbeddingSpec, InputKind
from focal_core.providers.retry import CurrentAttempt, run_attempts, spent
from focal_core.providers.tokens import estimate_text
from focal_core.usage import TokenUsage
from focal_providers.client import SDKClient, opened, options_from
from focal_providers.errors import UNREADABLE, Errors
from focal_providers.openai.settings import NATIVE_DIMENSIONS, PROVIDER, OpenAIClient, OpenAIOptions
from focal_providers.openai.vectors import read_embeddings

_MOST_INPUT_TOKENS = 8192
_MOST_BATCH_TOKENS = 300_000
_DOUBT = 2 / 3
"""How much of a limit of tokens is used where tokens are estimated."""
_SHORTER = 2 / 3


@dataclass
class _Call:
    """What the requests of one call share.

    Attributes:
        options: limits, those of the settings filled in.
        truncate: whether a text may be shortened.
        ends: when its deadline passes, by the loop's clock; None = never.
        attempts: of all requests, in the order in which they ended.
        vectors: text -> vector.
        shortened: texts that were.
    """

    options: CallOptions
    truncate: bool
    ends: float | None
    attempts: list[Attempt] = field(default_factory=list)
    vectors: dict[str, list[float]] = field(default_factory=dict)
    shortened: set[str] = field(default_factory=set)

    def limits(self) -> CallOptions:
        """Return the limits of the next request: what is left of the deadline.

        Raises:
            DeadlineExceeded: nothing is.
        """
        if self.ends is None:
            return self.options
        left = self.ends - asyncio.get_running_loop().time()
        if left <= 0.0:
            raise DeadlineExceeded("the deadline passed between two requests", provider=PROVIDER)
        return self.options.model_copy(update={"deadline": left})

    def numbered(self) -> tuple[Attempt, ...]:
        """Return every attempt, counted over all requests."""
        return tuple(one.model_copy(update={"n": n}) for n, one in enumerate(self.attempts, start=1))


class OpenAIEmbeddings(EmbeddingProvider):
    """Embeddings of OpenAI, or of a server with the same wire.

    Texts travel in batches, limited in texts and in estimated tokens, several at a time; a batch that is refused as
    too large is halved. Queries and documents are embedded alike.

    Args:
        client: open; whoever opened it closes it.
        options: the settings, with ``embedding_model``.
    """

    name: ClassVar[str] = PROVIDER

    def __init__(self, client: SDKClient, options: OpenAIOptions) -> None:
        self._client = client
        self._options = options
        self._errors = Errors(client)
        self._model = options.embedding_model or ""
        known = self._model in NATIVE_DIMENSIONS
        self._spec = EmbeddingSpec(
            model=options.embedding_space or self._model,
            dimensions=options.vector_length,
            normalized=known,
            max_input_tokens=_MOST_INPUT_TOKENS if known else None,
            max_batch=options.batch_size,
            max_batch_tokens=_MOST_BATCH_TOKENS,
        )

    @classmethod
    @asynccontextmanager
    async def connect(cls, *, embedding_model: str, api_key: str | None = None, **settings: Any) -> AsyncIterator[Self]:
        """Open a provider outside a ``Focal``; leaving the context closes it.

        Args:
            embedding_model: the model.
            api_key: None = the environment variable ``OPENAI_API_KEY``.
            settings: further ``OpenAIOptions``; ``dimensions`` for models that are not OpenAI's.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: a setting is unknown or wrong.
        """
        given = {"embedding_model": embedding_model, "api_key": api_key, **settings}
        options = options_from(OpenAIOptions, PROVIDER, given)
        async with opened(OpenAIClient(options)) as client:
            yield cls(client, options)

    @property
    def spec(self) -> EmbeddingSpec:
        """The space, as the settings and OpenAI's own models have it; only those are known to be of length 1."""
        return self._spec

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return the vectors; attempts and usage are those of all requests."""
        if self._client.is_closed:
            raise self._client.closed()
        check_texts(texts, self.name, self._model)
        limits = self._options.limits(options)
        ends = None if limits.deadline is None else asyncio.get_running_loop().time() + limits.deadline
        call = _Call(limits, truncate, ends)
        try:
            await self._embed_all(texts, call)
        except ProviderError as error:
            error.provider, error.model = error.provider or self.name, error.model or self._model
            error.attempts, error.usage = call.numbered(), spent(call.attempts)
            raise
        attempts = call.numbered()
        usage = spent(attempts) or TokenUsage(requests=len(attempts), reported=False)
        prices = self._client.prices
        return EmbeddingResponse(
            embeddings=[call.vectors[text].copy() for text in texts],
            spec=self._spec,
            usage=usage,
            attempts=attempts,
            truncated=tuple(index for index, text in enumerate(texts) if text in call.shortened),
            cost=None if prices is None else prices.price(self.name, self._model, usage),
        )

    async def _embed_all(self, texts: Sequence[str], call: _Call) -> None:
        """Embed every text once; the first failure cancels what is under way."""
        batches = _batches(list(dict.fromkeys(texts)), self._options.batch_size)

        async def work() -> None:
            for batch in batches:
                await self._embed_batch(batch, call)

        failure: ProviderError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._options.concurrency, len(texts))):
                    group.create_task(work())
        except* ProviderError as failures:
            failure = next(_leaves(failures))
        if failure is not None:
            raise failure

    async def _embed_batch(self, batch: Sequence[str], call: _Call) -> None:
        """Embed some texts, by halves where they are too much, and a single one shortened where that is allowed."""
        sent = list(batch)
        while True:
            try:
                vectors = await self._ask(sent, call)
            except (ContextTooLong, ContentTooLarge):
                if len(batch) > 1:
                    half = len(batch) // 2
                    await self._embed_batch(batch[:half], call)
                    await self._embed_batch(batch[half:], call)
                    return
                if not call.truncate or len(sent[0]) < 2:
                    raise
                sent = [self._shortened(sent[0])]
                call.shortened.add(batch[0])
            else:
                call.vectors.update(zip(batch, vectors, strict=True))
                return

    def _shortened(self, text: str) -> str:
        share, most = _SHORTER, self._spec.max_input_tokens
        if most is not None and (estimate := estimate_text(text)) > most:
            share = min(share, most / estimate)
        return text[: max(1, int(len(text) * share))]

    async def _ask(self, texts: list[str], call: _Call) -> list[list[float]]:
        """Send one request, as often as it takes."""
        sent: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "base64"}
        if (dimensions := self._options.asked_dimensions) is not None:
            sent["dimensions"] = dimensions

        async def attempt(current: CurrentAttempt) -> list[list[float]]:
            with self._errors.unwrapping():
                reply = await self._client.get().embeddings.with_raw_response.create(**sent)
            current.status = reply.status_code
            current.request_id = reply.headers.get(self._client.vendor.request_id)
            self._errors.check_type(reply.headers, "application/json")
            try:
                read = read_embeddings(reply.http_response.content)
                current.usage = read.usage if read.usage.reported else None
                return read.placed(len(texts), self._spec.dimensions)
            except UNREADABLE as error:
                raise self._errors.malformed(f"the reply has not one usable vector for each text: {error}") from error

        attempted = await run_attempts(
            attempt,
            classify=partial(self._errors.advice, said=sent),
            options=call.limits(),
            observe=call.attempts.append,
            provider=self.name,
            model=self._model,
        )
        return attempted.value


def _batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """Yield texts in batches within the limits, as far as tokens can be estimated."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        estimate = ceil(estimate_text(text) / _DOUBT)
        if batch and (len(batch) == most or tokens + estimate > _MOST_BATCH_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += estimate
    if batch:
        yield batch


def _leaves(failures: BaseExceptionGroup[ProviderError]) -> Iterator[ProviderError]:
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
