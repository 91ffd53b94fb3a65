"""How many tokens a request has, roughly, without a tokenizer."""

from __future__ import annotations

import math

from focal_core.providers.models import LLMRequest, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from focal_core.values import canonical_json

CHARS_PER_TOKEN = 4
TOKENS_PER_FURTHER_BYTE = 0.375
TOKENS_PER_MESSAGE = 4
TOKENS_PER_ATTACHMENT = 1_000


def estimate_text(text: str) -> int:
    """Return about how many tokens a text has.

    Right within a third for languages in Latin letters, and for Chinese, Japanese and Korean; high for other alphabets.
    """
    if text.isascii():
        return -(-len(text) // CHARS_PER_TOKEN)
    # Rarer characters make more tokens, and more bytes.
    further = len(text.encode("utf-8", "surrogatepass")) - len(text)
    return math.ceil(len(text) / CHARS_PER_TOKEN + further * TOKENS_PER_FURTHER_BYTE)


def estimate_request(request: LLMRequest) -> int:
    """Return about how many prompt tokens a request has: text, tools, schema; images and files by a flat rate."""
    total = estimate_text(request.system or "")
    for message in request.messages:
        total += TOKENS_PER_MESSAGE
        for part in message.parts:
            if isinstance(part, TextPart | ThinkingPart):
                total += estimate_text(part.text)
            elif isinstance(part, ToolCallPart):
                total += estimate_text(part.name + part.raw_arguments)
            elif isinstance(part, ToolResultPart):
                pieces = (part.content,) if isinstance(part.content, str) else part.content
                for piece in pieces:
                    if isinstance(piece, str):
                        total += estimate_text(piece)
                    else:
                        total += estimate_text(piece.text) if isinstance(piece, TextPart) else TOKENS_PER_ATTACHMENT
            else:
                total += TOKENS_PER_ATTACHMENT
    for tool in request.tools:
        total += estimate_text(tool.name + tool.description) + len(canonical_json(tool.input_schema)) // CHARS_PER_TOKEN
    if request.response_schema is not None:
        total += len(canonical_json(request.response_schema.schema)) // CHARS_PER_TOKEN
    return total
