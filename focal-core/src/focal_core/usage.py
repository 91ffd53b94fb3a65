"""Tokens spent: shared by providers, which report them, and the audit trail, which keeps them."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import Alias, FocalModel


class TokenUsage(FocalModel):
    """Tokens of one or several requests.

    Attributes:
        prompt_tokens: tokens read, cached ones included.
        completion_tokens: tokens written, reasoning included.
        total_tokens: the sum, or more where the provider counts more; the sum when not given.
        cache_read_tokens: prompt tokens served from the provider's cache.
        cache_write_tokens: prompt tokens written to it.
        reasoning_tokens: completion tokens spent on reasoning.
        requests: requests these tokens were spent in.
        reported: False when the provider said nothing.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    total_tokens: int = Field(default=0, ge=0)
    cache_read_tokens: int = Field(default=0, ge=0)
    cache_write_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)
    requests: int = Field(default=1, ge=0)
    reported: bool = True

    input_tokens = Alias[int]("prompt_tokens")
    output_tokens = Alias[int]("completion_tokens")

    @model_validator(mode="after")
    def _total(self) -> Self:
        spent = self.prompt_tokens + self.completion_tokens
        if "total_tokens" not in self.model_fields_set:
            self.__dict__["total_tokens"] = spent
        elif self.total_tokens < spent:
            raise PydanticCustomError("focal.usage_total", "total_tokens is less than prompt and completion together")
        return self

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Return the sum of two usages; reported when either was."""
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            requests=self.requests + other.requests,
            reported=self.reported or other.reported,
        )
