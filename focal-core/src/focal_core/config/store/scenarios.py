"""The scenarios part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from uuid import UUID

from focal_core.config.models import Scenario, ScenarioArchive
from focal_core.paging import Page
from focal_core.store import Store


class ScenarioStore(Store):
    """Scenarios of agents, and archived versions of them.

    The scenarios of a deleted agent are hidden from every read until the agent is revived; archived versions stay
    readable.
    """

    @abstractmethod
    async def get_scenarios(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        enabled_only: bool = True,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Scenario]:
        """Return the scenarios of an agent with their steps, by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            enabled_only: False returns disabled scenarios as well.
            limit: rows, 1 to 1,000; None = all, up to ``limits.unpaged_cap``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or an unlimited list exceeds the cap (code
                ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        """Return a scenario with its steps, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_scenario(self, scenario: Scenario) -> UUID:
        """Insert or replace a scenario with all its steps and return its id; its agent need not exist.

        Atomic and idempotent. Advances ``row_version``, ``created_at`` and ``updated_at`` of the object passed in. A
        scenario saved under a deleted agent is kept, and hidden like the agent's others.

        Raises:
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the id is deleted and this is no explicit revival (``deleted_at=None`` and the deleted
                row's ``row_version``, both given).
            InvalidDataError: the scenario is invalid or exceeds a limit.
            EmbeddingSpaceError: spaces are strict and that of one of its vectors is not registered.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_scenario(self, tenant_id: UUID, scenario_id: UUID) -> bool:
        """Mark a scenario deleted; False when the tenant has none of that id, or it is deleted already.

        Its archived versions stay.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def vector_search_scenarios(
        self,
        query_embedding: list[float],
        tenant_id: UUID,
        agent_id: UUID,
        limit: int = 10,
        *,
        min_score: float | None = None,
        include_disabled: bool = False,
        embedding_model: str | None = None,
    ) -> list[tuple[Scenario, float]]:
        """Return the scenarios of an agent whose entry conditions are nearest to a query vector, best first.

        Only vectors of one space are compared: (``embedding_model``, length of the query). A scenario is never missed
        because other scenarios' vectors lie closer to the query.

        Args:
            query_embedding: (dim,) finite floats, not all zero.
            tenant_id: the owner.
            agent_id: the agent whose scenarios are searched.
            limit: rows, 1 to 1,000; reached whenever that many scenarios are eligible.
            min_score: only scenarios of at least this score; None keeps negative scores as well.
            include_disabled: True searches disabled scenarios as well.
            embedding_model: the model whose vectors are compared; None = the configured one, else the only one with
                vectors of the query's length.

        Returns:
            (scenario, score) pairs. Score is the cosine similarity in [-1.0, 1.0], descending, ties by scenario id
            ascending. Left out: scenarios that are deleted, disabled or without a vector of the space. Empty when none
            fits.

        Raises:
            InvalidDataError: the vector is zero, empty or not finite, or ``limit`` is out of range.
            EmbeddingSpaceError: vectors are stored but none of the query's length, or several models have that length
                and none is named or configured.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def archive_scenario(self, scenario: Scenario) -> int:
        """Keep a version of a scenario for good, as it is passed in, and return its version number.

        The scenario need not be saved. Archiving a version again with the same content (times and ``row_version``
        left out) changes nothing.

        Raises:
            ConflictError: the version is archived with other content (code ``archive_differs``).
            InvalidDataError: the scenario is invalid or exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_archived_scenario(self, tenant_id: UUID, scenario_id: UUID, version: int) -> ScenarioArchive | None:
        """Return an archived version, or None when the tenant has none of that scenario and number.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def list_archived_versions(self, tenant_id: UUID, scenario_id: UUID) -> list[int]:
        """Return the numbers of the archived versions of a scenario, ascending.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def purge_archives(self, tenant_id: UUID, before: datetime) -> int:
        """Remove versions archived before a moment for good and return how many.

        A version that a draft, approved or deployed migration plan starts from or leads to stays. Atomic; a second
        call returns 0.

        Args:
            tenant_id: the owner.
            before: versions archived at this moment or later stay.

        Raises:
            InvalidDataError: ``before`` is naive.
            StoreUnavailableError: nothing was removed; safe to retry.
        """
