"""What tokens cost: from the settings, or from the data of the package ``genai-prices``. Nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from typing import Annotated, Any, Protocol

from pydantic import Field

from focal_core.providers.messages import ProviderModel
from focal_core.usage import TokenUsage

_MILLION = Decimal(1_000_000)
_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$", re.ASCII)

Dollars = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class ModelPrice(ProviderModel):
    """Prices of one model, in USD for a million tokens.

    Attributes:
        input: of prompt tokens.
        output: of completion tokens, reasoning included.
        cache_read: of prompt tokens served from the cache; as ``input`` when None.
        cache_write: of prompt tokens written to it; as ``input`` when None.
    """

    input: Dollars
    output: Dollars = Decimal(0)
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None

    def of(self, usage: TokenUsage) -> Decimal:
        """Return what a usage costs, in USD."""
        plain = max(0, usage.prompt_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
        read = self.input if self.cache_read is None else self.cache_read
        written = self.input if self.cache_write is None else self.cache_write
        return (
            plain * self.input
            + usage.cache_read_tokens * read
            + usage.cache_write_tokens * written
            + usage.completion_tokens * self.output
        ) / _MILLION


class PriceBook(Protocol):
    """Knows what tokens cost."""

    def price(self, provider: str, model: str, usage: TokenUsage) -> Decimal | None:
        """Return the cost in USD; None when the model's price is not known, never 0 for that.

        Args:
            provider: wire family of whoever answered.
            model: as answered.
            usage: the tokens; a usage that was not reported has no known cost.
        """
        ...


class StaticPrices:
    """Prices that were given, by model.

    Args:
        prices: model -> its prices. A model answered as a dated snapshot (``name-2026-01-31``) has the price of its
            name, unless it has one of its own.
        otherwise: asked for models that have none here.
    """

    def __init__(self, prices: Mapping[str, ModelPrice], otherwise: PriceBook | None = None) -> None:
        self._prices = dict(prices)
        self._otherwise = otherwise

    def price(self, provider: str, model: str, usage: TokenUsage) -> Decimal | None:
        """Return the cost in USD, or what the other book says."""
        if not usage.reported:
            return None
        found = self._prices.get(model) or self._prices.get(_undated(model))
        if found is not None:
            return found.of(usage)
        return None if self._otherwise is None else self._otherwise.price(provider, model, usage)


class GenAIPrices:
    """Prices of the package ``genai-prices`` (extra ``prices``), whose data are in its wheel.

    Importing it takes a third of a second, a price a seventh of a millisecond.

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self) -> None:
        self._module: Any = import_module("genai_prices")

    def price(self, provider: str, model: str, usage: TokenUsage) -> Decimal | None:
        """Return the cost in USD; None where the package does not know the model."""
        if not usage.reported:
            return None
        counted = self._module.Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        try:
            cost: Decimal = self._module.calc_price(counted, model, provider_id=provider).total_price
        except LookupError:
            return None
        return cost


def published_prices() -> PriceBook | None:
    """Return the prices of ``genai-prices`` where it is installed, else None."""
    try:
        return GenAIPrices()
    except ImportError:
        return None


def _undated(model: str) -> str:
    """Return a model's name without the date of its snapshot."""
    return _DATE.sub("", model)
