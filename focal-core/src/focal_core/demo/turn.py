"""One turn of a conversation log through every store (ARCHITECTURE, section 6).

Find or create the profile, take the session, embed the message, search memory and rules in scope, fill profile fields,
answer from the log or by the configured model, append the audit turn, add the episode, save the session.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from focal_core.audit.models import ScenarioState, ToolCall, TurnRecord
from focal_core.clock import Clock
from focal_core.config.models import Rule, Scope
from focal_core.conversation.models import Session, StepVisit, TransitionReason
from focal_core.demo.agent_file import AgentDefinition, stable_id
from focal_core.demo.answer import Answers
from focal_core.demo.customer import Customers
from focal_core.demo.exchange import Exchange, Place, Stores
from focal_core.demo.report import ReplayReport
from focal_core.memory import groups
from focal_core.memory.models import Episode, EpisodeSource
from focal_core.profile.models import CustomerProfile
from focal_core.providers.models import LLMResponse


class Turns:
    """Runs turns; holds what all of them share.

    Args:
        agent: the agent, as its file says.
        stores: where turns are stored.
        report: counts what is new.
        clock: the time of turns that have none in the log.
        min_score: cosine from which a rule matches and an episode is recalled.
        rule_limit: rules matched in one scope at most.
        memory_limit: episodes recalled at most.
        answers: answers in place of the log; None = the log's answers.
    """

    def __init__(
        self,
        agent: AgentDefinition,
        stores: Stores,
        report: ReplayReport,
        clock: Clock,
        *,
        min_score: float,
        rule_limit: int,
        memory_limit: int,
        answers: Answers | None = None,
    ) -> None:
        self.agent = agent.agent
        self.stores = stores
        self.customers = Customers(agent, stores.profiles, report)
        self.report = report
        self.clock = clock
        self.min_score = min_score
        self.rule_limit = rule_limit
        self.memory_limit = memory_limit
        self.answers = answers
        self.scenarios = {scenario.name: scenario for scenario in agent.scenarios}
        self.rule_scopes = {(rule.scope, rule.scope_id) for rule in agent.rules if rule.enabled}
        self.variables = {one.name: one.default_value for one in agent.variables if one.default_value is not None}

    def place(self, scenario: str | None, step: str | None) -> Place:
        """Return the place of a scenario and a step that exist; without a step it is the scenario's entry step."""
        if scenario is None:
            return Place()
        found = self.scenarios[scenario]
        for one in found.steps:
            if one.name == step or (step is None and one.id == found.entry_step_id):
                return Place(found, one)
        return Place(found)

    async def run(self, exchange: Exchange, session: Session | None) -> None:
        """Store one turn.

        Args:
            exchange: the turn; what it leaves open is added to it.
            session: as stored; None when it is to be created.

        Raises:
            InvalidDataError, ConflictError: the turn cannot be stored as it is.
        """
        turn, place, known = exchange.turn, exchange.place, exchange.known
        profile = await self.customers.find(exchange.conversation)
        at = turn.at or exchange.conversation.started_at or (self.clock.now() if known is None else known.created_at)
        new = session is None
        session = session or self.new_session(exchange, profile, at)
        query = await self.stores.embedding.embed_one(exchange.text, input_kind="query")
        recalled: list[tuple[Episode, float]] = []
        rules: list[tuple[Rule, float]] = []
        if turn.user and known is None:
            recalled = await self.stores.memory.vector_search_episodes(
                query,
                groups.customer(profile.id),
                self.memory_limit,
                min_score=self.min_score,
                embedding_model=self.stores.embedding.spec.model,
            )
            rules = await self.match(query, session, exchange)
        collected = await self.customers.collect(exchange, profile, at)
        if place.scenario is not None:
            unmet = await self.stores.profiles.get_missing_fields(
                profile, place.scenario.id, step_id=place.step_id, agent_id=self.agent.id
            )
            exchange.missing = [requirement.field_name for requirement in unmet]
        if known is None:
            answer = None
            if self.answers is not None and turn.user:
                answer = await self.answers.answer(exchange, rules, recalled)
            known = self.record(exchange, at, rules, recalled, collected, answer)
            await self.stores.audit.save_turn(known)
            self.report.turns += 1
            self.report.episodes += 1
            self.report.rules_matched += len(rules)
        else:
            self.report.skipped += 1
        await self.remember(exchange, profile, query, at)
        await self.stores.sessions.save(_advanced(session, exchange, known.rules_matched, at))
        self.report.sessions += new

    def new_session(self, exchange: Exchange, profile: CustomerProfile, at: datetime) -> Session:
        """Return the session of a conversation that has none yet."""
        return Session(
            session_id=exchange.session_id,
            tenant_id=self.agent.tenant_id,
            agent_id=self.agent.id,
            channel=exchange.conversation.channel,
            user_channel_id=exchange.conversation.user,
            customer_profile_id=profile.id,
            config_version=self.agent.current_version,
            variables=self.variables,
            # Not created_at: a session lives from the moment it is stored, and an old log's would be expired already.
            metadata={"conversation_id": exchange.conversation.conversation_id, "started_at": at.isoformat()},
        )

    async def match(self, query: list[float], session: Session, exchange: Exchange) -> list[tuple[Rule, float]]:
        """Return the rules in scope that match a message, best first, those left out that have fired enough."""
        found: list[tuple[Rule, float]] = []
        scopes = [
            (Scope.GLOBAL, None),
            (Scope.SCENARIO, exchange.place.scenario_id),
            (Scope.STEP, exchange.place.step_id),
        ]
        for scope, scope_id in scopes:
            if (scope, scope_id) in self.rule_scopes:
                found += await self.stores.config.vector_search_rules(
                    query,
                    self.agent.id,
                    scope,
                    scope_id,
                    self.rule_limit,
                    min_score=self.min_score,
                    embedding_model=self.stores.embedding.spec.model,
                )
        rested = [(rule, score) for rule, score in found if _may_fire(rule, session, exchange.number)]
        return sorted(rested, key=lambda one: (-one[1], one[0].id))

    def record(
        self,
        exchange: Exchange,
        at: datetime,
        rules: list[tuple[Rule, float]],
        recalled: list[tuple[Episode, float]],
        collected: list[str],
        answer: LLMResponse | None,
    ) -> TurnRecord:
        """Return the audit record of a turn; what was said is the log's where no model answered."""
        turn, place = exchange.turn, exchange.place
        state = None
        if place.scenario is not None:
            state = ScenarioState(scenario_id=place.scenario.id, step_id=place.step_id, version=place.scenario.version)
        return TurnRecord(
            id=exchange.turn_id,
            tenant_id=self.agent.tenant_id,
            agent_id=self.agent.id,
            session_id=exchange.session_id,
            turn_number=exchange.number,
            user_message=turn.user,
            assistant_response=turn.assistant if answer is None else answer.text,
            context_extracted={one.name: one.value for one in turn.fields} if turn.fields else None,
            rules_matched=tuple(rule.id for rule, _ in rules),
            scenario_state=state,
            tools_executed=tuple(ToolCall(tool_id=one.tool, **one.model_dump(exclude={"tool"})) for one in turn.tools),
            latency_ms=turn.latency_ms if answer is None else answer.latency_ms,
            token_usage=None if answer is None else answer.usage,
            extra={
                "rule_scores": {str(rule.id): round(score, 4) for rule, score in rules},
                "recalled": [{"episode_id": str(episode.id), "score": round(score, 4)} for episode, score in recalled],
                "collected": collected,
                "missing": exchange.missing,
                **({} if answer is None else {"model": answer.model, "finish_reason": answer.finish_reason}),
            },
            created_at=at,
        )

    async def remember(self, exchange: Exchange, profile: CustomerProfile, query: list[float], at: datetime) -> None:
        """Add what was said to the customer's memory."""
        embedding = self.stores.embedding
        if embedding.spec.asymmetric:
            query = await embedding.embed_one(exchange.text, input_kind="document")
        await self.stores.memory.add_episode(
            Episode(
                id=stable_id(exchange.session_id, "", "episode", exchange.number),
                tenant_id=self.agent.tenant_id,
                group_id=groups.customer(profile.id),
                agent_id=self.agent.id,
                customer_profile_id=profile.id,
                session_id=exchange.session_id,
                content=exchange.text,
                source=EpisodeSource.USER if exchange.turn.user else EpisodeSource.AGENT,
                embedding=tuple(query),
                embedding_model=embedding.spec.model,
                metadata={"turn_id": str(exchange.turn_id), "turn_number": exchange.number},
                valid_from=at,
                occurred_at=at,
            )
        )


def _may_fire(rule: Rule, session: Session, number: int) -> bool:
    fired = session.rule_fires.get(str(rule.id), 0)
    last = session.rule_last_fire_turn.get(str(rule.id))
    if rule.max_fires_per_session and fired >= rule.max_fires_per_session:
        return False
    return last is None or number - last > rule.cooldown_turns


def _advanced(session: Session, exchange: Exchange, matched: Iterable[UUID], at: datetime) -> Session:
    """Return a session as it stands after a turn."""
    place, number = exchange.place, exchange.number
    fires = dict(session.rule_fires)
    for rule_id in matched:
        fires[str(rule_id)] = fires.get(str(rule_id), 0) + 1
    history = session.step_history
    if place.step is not None and place.step.id != session.current_step_id:
        entered = session.active_scenario_id != place.scenario_id
        visit = StepVisit(
            step_id=place.step.id,
            step_name=place.step.name,
            entered_at=at,
            turn_number=number,
            transition_reason=TransitionReason.ENTRY if entered else TransitionReason.TRANSITION,
            is_checkpoint=place.step.is_checkpoint,
            checkpoint_description=place.step.checkpoint_description,
        )
        history = [*history, visit]
    # One copy, which the store validates, instead of a validation for each assignment.
    return session.model_copy(
        update={
            "turn_count": number + 1,
            "active_scenario_id": place.scenario_id,
            "active_scenario_version": None if place.scenario is None else place.scenario.version,
            "current_step_id": place.step_id,
            "step_history": history,
            "rule_fires": fires,
            "rule_last_fire_turn": session.rule_last_fire_turn | {str(rule_id): number for rule_id in matched},
        }
    )
