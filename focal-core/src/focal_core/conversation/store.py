"""The sessions port: load, save by compare-and-swap, find, list, expire; two tiers where a backend has them."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from focal_core.conversation.models import Channel, Session, SessionStatus, Tier
from focal_core.errors import UnsupportedOperationError
from focal_core.paging import Page
from focal_core.store import Store

if TYPE_CHECKING:
    from focal_core.config.models import ScopeFilter


class SessionStore(Store):
    """State of running conversations.

    A session is gone when it was not saved for ``idle_ttl_seconds`` or when it is older than
    ``max_session_age_seconds`` (both in ``SessionPolicy``), whichever comes first: from ``Session.expires_at`` on it
    is absent from every read, cleaned up or not, and its id is free again. Reading does not postpone that.

    With capability ``two_tier`` every session lives in a lasting tier, and in a hot tier as well for
    ``hot_ttl_seconds`` after it was last saved or read; leaving the hot tier loses nothing.

    With capability ``session_copies`` the hot tier also takes copies of sessions that another store owns; so it can
    stand before that store (``focal_core.conversation.tiered``).
    """

    port: ClassVar[str] = "sessions"

    @abstractmethod
    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        """Return a session, or None when the tenant has none of that id.

        Args:
            session_id: the session.
            tenant_id: the owner.
            promote: whether the read counts as use: it moves the session to the hot tier, or restarts its time
                there. It never extends the session's life.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        """Return the session of a person on a channel that was saved last and is not closed, or None.

        Ties go to the smaller id. Counts as use, as in ``get``.

        Args:
            tenant_id: the owner.
            channel: the channel.
            user_channel_id: the person's id there, in any Unicode form.
            agent_id: only sessions with this agent.

        Raises:
            InvalidDataError: channel or user_channel_id cannot be one.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save(self, session: Session, *, force: bool = False) -> Session:
        """Store a session if its version is still the stored one, and return a copy of what is stored.

        Version 0 stands for "not stored yet". On success the stored version is one higher, and version, created_at,
        last_activity_at, expires_at and, where visits beyond the limit were dropped, step_history and
        step_history_dropped are set on the object passed in. On failure the object and the store are as before.

        A repeat of a save whose reply was lost succeeds: the object still carries the token of that write.

        Args:
            session: what to store.
            force: store it whatever version is stored (last write wins), also over a closed one; not to be
                repeated blindly.

        Raises:
            StaleVersionError: another version is stored, or none; load the session again.
            ConflictError: the stored session is closed (code ``session_closed``).
            InvalidDataError: the session is invalid, exceeds a limit, or has another agent_id or created_at than
                the stored one (code ``immutable_field``).
            StoreUnavailableError: nothing was written; safe to retry.
            OutcomeUnknownError: it may have been written; safe to retry with the same object unless forced.
        """

    @abstractmethod
    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Remove a session from every tier and index; False when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
            StoreUnavailableError: nothing was removed; safe to retry.
        """

    @abstractmethod
    async def list_by_agent(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        status: SessionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        after: str | None = None,
    ) -> Page[Session]:
        """Return the sessions with an agent by last_activity_at descending, then id ascending; no use, no promotion.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            status: only sessions of this status; None means every status, closed included.
            limit: rows, 1 to 1,000.
            offset: rows left out at the start; not together with ``after``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: status, limit, offset or cursor are wrong.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def list_by_customer(
        self, tenant_id: UUID, customer_profile_id: UUID, limit: int = 100, *, after: str | None = None
    ) -> Page[Session]:
        """Return the sessions of a customer by last_activity_at descending, then id ascending; no promotion.

        Args:
            tenant_id: the owner.
            customer_profile_id: the customer.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def list_by_step(
        self,
        tenant_id: UUID,
        scenario_id: UUID,
        *,
        version: int | None = None,
        step_content_hash: str | None = None,
        scope: ScopeFilter | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[Session]:
        """Return the sessions that stand in a scenario by last_activity_at descending, then id ascending.

        Only ``active_scenario_id`` counts, not ``active_scenarios``. Every filter given must hold; none promotes.
        Name and hash of the current step are those of its newest visit in ``step_history``.

        Args:
            tenant_id: the owner.
            scenario_id: the scenario.
            version: only sessions that follow this version of it.
            step_content_hash: only sessions whose current step had this content when they entered it.
            scope: only sessions it takes in; ages are in days since created_at, both bounds included.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or the scope has custom_conditions, which a store cannot
                judge (code ``custom_conditions``).
            StoreUnavailableError: no answer; safe to retry.
        """

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Put a session into the hot tier, or restart its time there; False when there is no such session.

        Needs capability ``two_tier``. Never extends the session's life.

        Raises:
            UnsupportedOperationError: the backend does not declare ``two_tier``.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """
        raise _no_tiers("promote_to_hot")

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Take a session out of the hot tier, losing nothing; False when there is no such session.

        Needs capability ``two_tier``.

        Raises:
            UnsupportedOperationError: the backend does not declare ``two_tier``.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """
        raise _no_tiers("demote_to_persistent")

    async def tier_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> Tier | None:
        """Return the tier a session is read from at present, or None when there is no such session; no promotion.

        Needs capability ``two_tier``.

        Raises:
            UnsupportedOperationError: the backend does not declare ``two_tier``.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """
        raise _no_tiers("tier_of")

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        """Return version and last_activity_at of the session ``get`` would return, or None; no use, no promotion.

        Both together tell any two saves of one id apart, also when the id was deleted and used again.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
            StoreUnavailableError: no answer; safe to retry.
        """
        found = await self.get(session_id, tenant_id=tenant_id, promote=False)
        return None if found is None else (found.version, found.last_activity_at)

    async def put_copy(self, session: Session) -> bool:
        """Keep a copy of a session that another store owns, in the hot tier only; False when it is not kept.

        Needs capability ``session_copies``. It is no save: version and times stay as they are, and no lasting tier or
        index knows of it. Until ``hot_ttl_seconds`` after it was last put or read, and never past its
        ``expires_at``, it is found by ``get``, ``version_of``, ``tier_of`` and ``promote_to_hot`` with its tenant;
        ``delete``, ``demote_to_persistent`` and ``erase_tenant`` end it earlier. Lists, ``get_by_channel``, ``save``
        and calls without a tenant do not see it, and what is saved here under its id takes its place.

        It replaces a copy of its own version or an older one. It is not kept where a copy of a newer version is, nor
        when it has expired.

        Args:
            session: as the other store returned it.

        Raises:
            UnsupportedOperationError: the backend does not declare ``session_copies``.
            InvalidDataError: the session is invalid, exceeds a limit, or was never saved (code ``never_saved``).
            StoreUnavailableError: no answer; safe to retry.
        """
        raise UnsupportedOperationError(
            "put_copy needs a backend with capability 'session_copies'",
            hint="call it only where the capability is declared",
        )

    @abstractmethod
    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        """Remove sessions that have expired from every tier and index, and return how many.

        Maintenance: an omitted tenant means every tenant, in both isolation modes. Call it until it returns less
        than the limit.

        Args:
            tenant_id: only this tenant's sessions.
            limit: sessions to remove at most, 1 to 1,000.

        Raises:
            InvalidDataError: the limit is wrong.
            StoreUnavailableError: no answer; safe to retry.
        """


def _no_tiers(method: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        f"{method} needs a backend with capability 'two_tier'", hint="call it only where the capability is declared"
    )
