"""The rules part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from uuid import UUID

from focal_core.config.models import Rule, Scope
from focal_core.paging import Page
from focal_core.store import Store


class RuleStore(Store):
    """Rules of agents; the rules of a deleted agent are hidden from every read until the agent is revived."""

    @abstractmethod
    async def get_rules(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        enabled_only: bool = True,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Rule]:
        """Return the rules of an agent by priority descending, then created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            scope: only rules of exactly this scope; None means every scope.
            scope_id: only rules bound to exactly this scenario or step; needs ``scope``.
            enabled_only: False returns disabled rules as well.
            limit: rows, 1 to 1,000; None = all, up to ``limits.unpaged_cap``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: ``scope_id`` comes without ``scope``, limit or cursor are wrong, or an unlimited list
                exceeds the cap (code ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        """Return a rule, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_rule(self, rule: Rule) -> UUID:
        """Insert or replace a rule and return its id; its agent need not exist.

        Atomic and idempotent. Advances ``row_version``, ``created_at`` and ``updated_at`` of the object passed in. A
        rule saved under a deleted agent is kept, and hidden like the agent's others.

        Raises:
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the id is deleted and this is no explicit revival (``deleted_at=None`` and the deleted
                row's ``row_version``, both given).
            InvalidDataError: the rule is invalid or exceeds a limit.
            EmbeddingSpaceError: spaces are strict and that of its vector is not registered.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        """Insert or replace several rules by the rules of ``save_rule`` and return their ids, in the order given.

        This default saves one after another: when one is refused, those before it stay. A backend that can do so saves
        all of them or none, in far fewer round trips.

        Args:
            rules: what to save, of any agents and tenants; each object is advanced as by ``save_rule``.

        Raises:
            StaleVersionError: a ``row_version`` is given and is not the stored one.
            ConflictError: an id is deleted and this is no explicit revival.
            InvalidDataError: a rule is invalid or exceeds a limit.
            EmbeddingSpaceError: spaces are strict and that of a vector is not registered.
            StoreUnavailableError: safe to retry.
        """
        return [await self.save_rule(rule) for rule in rules]

    @abstractmethod
    async def delete_rule(self, tenant_id: UUID, rule_id: UUID) -> bool:
        """Mark a rule deleted; False when the tenant has none of that id, or it is deleted already.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def vector_search_rules(
        self,
        query_embedding: list[float],
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        limit: int = 10,
        *,
        min_score: float | None = None,
        include_disabled: bool = False,
        embedding_model: str | None = None,
    ) -> list[tuple[Rule, float]]:
        """Return the rules of an agent whose conditions are nearest to a query vector, best first.

        Only vectors of one space are compared: (``embedding_model``, length of the query). A rule is never missed
        because other rules' vectors lie closer to the query.

        Args:
            query_embedding: (dim,) finite floats, not all zero.
            tenant_id: the owner.
            agent_id: the agent whose rules are searched.
            scope: only rules of exactly this scope; None means every scope.
            scope_id: only rules bound to exactly this scenario or step; needs ``scope``.
            limit: rows, 1 to 1,000; reached whenever that many rules are eligible.
            min_score: only rules of at least this score; None keeps negative scores as well.
            include_disabled: True searches disabled rules as well.
            embedding_model: the model whose vectors are compared; None = the configured one, else the only one with
                vectors of the query's length.

        Returns:
            (rule, score) pairs. Score is the cosine similarity in [-1.0, 1.0], descending, ties by rule id ascending.
            Left out: rules that are deleted, disabled or without a vector of the space. Empty when none fits.

        Raises:
            InvalidDataError: the vector is zero, empty or not finite, ``limit`` is out of range, or ``scope_id`` comes
                without ``scope``.
            EmbeddingSpaceError: vectors are stored but none of the query's length, or several models have that length
                and none is named or configured.
            StoreUnavailableError: no answer; safe to retry.
        """
