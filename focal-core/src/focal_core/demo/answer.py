"""The configured model in place of the log: what it is told of a turn, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from focal_core.config.models import Rule
from focal_core.demo.agent_file import AgentDefinition
from focal_core.demo.exchange import Exchange, Stores
from focal_core.demo.report import ReplayReport
from focal_core.memory.models import Episode
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import LLMMessage, LLMRequest, LLMResponse

HISTORY_TURNS = 20
"""Earlier turns of the conversation that the model is told."""


class Answers:
    """Asks a model for the answers of a replay.

    Args:
        agent: whose prompt and scenarios the model is given.
        llm: the model.
        stores: where earlier turns are read.
        report: counts tokens and cost.
    """

    def __init__(self, agent: AgentDefinition, llm: LLMProvider, stores: Stores, report: ReplayReport) -> None:
        self._agent = agent.agent
        self._llm = llm
        self._stores = stores
        self._report = report

    async def answer(
        self, exchange: Exchange, rules: Sequence[tuple[Rule, float]], recalled: Sequence[tuple[Episode, float]]
    ) -> LLMResponse:
        """Return the model's answer to the message of a turn.

        Args:
            exchange: the turn, with the fields that are still missing.
            rules: what matched, best first.
            recalled: what was said before, best first.

        Raises:
            ProviderError: whatever the provider did; the replay may be repeated and goes on from there.
        """
        response = await self._llm.generate(
            LLMRequest(
                system=self._instructions(exchange, rules, recalled),
                messages=(*await self._history(exchange), _said("user", exchange.text)),
                metadata={"turn_id": str(exchange.turn_id)},
            )
        )
        self._report.add_answer(response.usage, response.cost)
        return response

    def _instructions(
        self, exchange: Exchange, rules: Sequence[tuple[Rule, float]], recalled: Sequence[tuple[Episode, float]]
    ) -> str:
        place = exchange.place
        parts = [self._agent.system_prompt or f"You are {self._agent.name}. {self._agent.description or ''}".strip()]
        if rules:
            parts.append("Follow these rules:\n" + "\n".join(f"- {rule.action_text or rule.name}" for rule, _ in rules))
        if place.scenario is not None:
            step = "" if place.step is None else f", step {place.step.name!r}"
            parts.append(f"The conversation is in scenario {place.scenario.name!r}{step}.")
        if exchange.missing:
            parts.append(f"Still to be asked for: {', '.join(exchange.missing)}.")
        if recalled:
            parts.append("The customer said before:\n" + "\n".join(f"- {one.content}" for one, _ in recalled))
        return "\n\n".join(parts)

    async def _history(self, exchange: Exchange) -> list[LLMMessage]:
        offset = max(0, exchange.number - HISTORY_TURNS)
        messages: list[LLMMessage] = []
        if exchange.number == 0:
            return messages
        for turn in await self._stores.audit.list_turns_by_session(exchange.session_id, HISTORY_TURNS, offset):
            if turn.user_message:
                messages.append(_said("user", turn.user_message))
            if turn.assistant_response:
                messages.append(_said("assistant", turn.assistant_response))
        return messages


def _said(role: str, text: str) -> LLMMessage:
    return LLMMessage.model_validate({"role": role, "content": text})
