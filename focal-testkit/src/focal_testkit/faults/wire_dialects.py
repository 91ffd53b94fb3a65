"""The wires the kit speaks, by name."""

from __future__ import annotations

from collections.abc import Mapping

from focal_testkit.faults.wire_anthropic import AnthropicDialect
from focal_testkit.faults.wire_chat import ChatDialect
from focal_testkit.faults.wire_dialect import WireDialect
from focal_testkit.faults.wire_embeddings import EmbeddingsDialect
from focal_testkit.faults.wire_responses import ResponsesDialect

DIALECTS: Mapping[str, WireDialect] = {
    dialect.name: dialect for dialect in (AnthropicDialect(), ResponsesDialect(), ChatDialect(), EmbeddingsDialect())
}
