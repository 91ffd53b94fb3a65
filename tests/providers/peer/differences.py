"""Where aimock 1.43.0 answers otherwise than the vendors document; focal follows the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One of them.

    Attributes:
        documented: what the vendor says.
        aimock: what aimock does.
        rules: tests of ``test_aimock_rules.py`` that must fail for it, as ``Class::test[parameters]``.
        shown: the test of ``test_aimock_differences.py`` that shows it, where it breaks no rule.
    """

    documented: str
    aimock: str
    rules: tuple[str, ...] = ()
    shown: str = ""


_CUT = "test_provider_j4_output_that_is_none_is_an_error_with_the_answer"
_JOINED = "test_provider_s3_deltas_joined_are_the_answer"

DIFFERENCES = (
    Difference(
        documented="GET /v1/models/<model> describes a model",
        aimock="lists models, and knows none of them by itself: 404",
        rules=tuple(
            f"{name}::test_provider_health_never_raises" for name in ("TestAnthropic", "TestResponses", "TestChat")
        ),
    ),
    Difference(
        documented="tokens are counted: /v1/messages/count_tokens, /v1/responses/input_tokens",
        aimock="404",
        rules=("TestAnthropic::test_provider_counts_tokens", "TestResponses::test_provider_counts_tokens"),
    ),
    Difference(
        documented="Messages spells the arguments of tool calls with spaces behind colons and commas, as Python does",
        aimock="without spaces in a stream; in a whole reply they are an object on both",
        rules=(f"TestAnthropic::{_JOINED}[text_and_calls]", f"TestAnthropic::{_JOINED}[calls]"),
    ),
    Difference(
        documented="a response cut at the limit is incomplete, with incomplete_details.reason max_output_tokens",
        aimock="incomplete without details, in an event response.completed when streamed",
        rules=(
            "TestResponses::test_provider_r10_an_answer_names_its_origin",
            f"TestResponses::{_CUT}[length-OutputTruncated]",
        ),
    ),
    Difference(
        documented="a refusal is completed with a part of type refusal; a chat message has it in its field refusal",
        aimock="a response has the status refusal; a chat message the finish_reason refusal, and ordinary content",
        rules=(f"TestResponses::{_CUT}[refusal-Refused]", f"TestChat::{_CUT}[refusal-Refused]"),
    ),
    Difference(
        documented="a filtered response is incomplete, with incomplete_details.reason content_filter",
        aimock="failed, without an error",
        rules=(f"TestResponses::{_CUT}[content_filter-ContentFiltered]",),
    ),
    Difference(
        documented="embeddings of OpenAI's models have length 1",
        aimock="bytes of a hash between -1 and 1, of any length",
        rules=("TestEmbeddings::test_provider_e3_each_text_has_its_own_vector",),
    ),
    Difference(
        documented="encoding_format base64 is obeyed",
        aimock="numbers, whatever was asked for",
        shown="test_embeddings_are_numbers_whatever_was_asked_for",
    ),
    Difference(
        documented="Anthropic sends its id of a request as request-id",
        aimock="x-request-id, for every vendor",
        shown="test_anthropics_request_id_is_missing",
    ),
    Difference(
        documented="limits are told in headers of every reply",
        aimock="with a 429 only, in OpenAI's names",
        shown="test_limits_are_not_told_with_an_answer",
    ),
    Difference(
        documented="usage is counted, and cached and reasoning tokens told",
        aimock="zero, or a guess on chat, unless a fixture says otherwise; no details",
        shown="test_usage_that_no_fixture_tells_is_nothing_or_a_guess",
    ),
    Difference(
        documented="unknown models, unknown fields and wrong keys are refused",
        aimock="takes any of them",
        shown="test_anything_is_taken",
    ),
    Difference(
        documented="what was written before a connection broke arrives",
        aimock="drops what it has just written, unless there is some latency between the pieces",
        shown="test_a_stream_without_latency_loses_what_was_written",
    ),
)


def failing_rules() -> Iterator[tuple[str, Difference]]:
    """Yield each rule that must fail, with the difference that says why."""
    return ((rule, difference) for difference in DIFFERENCES for rule in difference.rules)
