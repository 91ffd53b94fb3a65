"""Session stores that find too much, too little or in the wrong order."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Channel, Session
from focal_core.errors import InvalidDataError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("SESSIONS-020")
class UserIdIsEnough(InMemorySessionStore):
    """The channel is not part of the key."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        found = [row for row in self._sessions.rows(tenant_id) if row.user_channel_id == user_channel_id]
        return await self.get(found[-1].session_id, tenant_id=tenant_id) if found else None


@mutant("SESSIONS-021")
class AgentIsTestedLast(InMemorySessionStore):
    """The newest session on the channel is chosen, and then compared with the agent."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        found = await super().get_by_channel(tenant_id, channel, user_channel_id)
        return None if found is None or agent_id not in (None, found.agent_id) else found


@mutant("SESSIONS-022")
class OldestOnTheChannel(InMemorySessionStore):
    """The session that was begun last answers for the channel."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        rows = self._on_channel.rows((tenant_id, channel.value, user_channel_id))
        newest = max(rows, key=lambda row: row.created_at, default=None)
        return newest and await self.get(newest.session_id, tenant_id=tenant_id)


@mutant("SESSIONS-022")
class ClosedAnswers(InMemorySessionStore):
    """A closed session answers for its channel."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        found = next(self._on_channel.rows((tenant_id, channel.value, user_channel_id)), None)
        return found and await self.get(found.session_id, tenant_id=tenant_id)


@mutant("SESSIONS-023")
class UserIdIsAPattern(InMemorySessionStore):
    """Case, spaces and everything outside of ASCII letters and digits are ignored in user ids."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        def plain(text: str) -> str:
            return "".join(filter(str.isalnum, text.encode("ascii", "ignore").decode()))

        wanted = plain(user_channel_id)
        found = [row for row in self._sessions.rows(tenant_id) if plain(row.user_channel_id) == wanted]
        return await self.get(found[-1].session_id, tenant_id=tenant_id) if found else None


@mutant("SESSIONS-024")
class UserIdIsNotNormalised(InMemorySessionStore):
    """A user id is looked up in the form it was given in."""

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        found = await super().get_by_channel(tenant_id, channel, user_channel_id, agent_id=agent_id)
        return found if found and found.user_channel_id == user_channel_id else None


@mutant("SESSIONS-024")
class NothingIsRefused(InMemorySessionStore):
    """A user id that cannot exist is merely not found."""

    async def get_by_channel(self, *args: Any, **kwargs: Any) -> Session | None:
        try:
            return await super().get_by_channel(*args, **kwargs)
        except InvalidDataError:
            return None


@mutant("SESSIONS-025")
class CustomerOfTheFirstSave(InMemorySessionStore):
    """A session stays in the list of the customer it had first."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        first: dict[UUID, Any] = {}
        partition = self._of_customer._partition
        self._of_customer._partition = lambda row: first.setdefault(row.session_id, partition(row))


@mutant("SESSIONS-026")
class DeletesFromOneList(InMemorySessionStore):
    """A deleted session stays in the list of its agent."""

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "delete")
        done = await super().delete(session_id, tenant_id=tenant_id)
        if row is not None:
            self._of_agent.add(row)
        return done


@mutant("SESSIONS-026")
class DeletesTwice(InMemorySessionStore):
    """delete is True whatever was there."""

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return await super().delete(session_id, tenant_id=tenant_id) or True


@mutant("SESSIONS-026")
class RemembersEveryTenant(InMemorySessionStore):
    """A tenant is listed for ever once it saved a session."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        self.__dict__.setdefault("seen", set()).add(session.tenant_id)
        return await super().save(session, force=force)

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        return Page(sorted(self.__dict__.get("seen", ())))


@mutant("SESSIONS-027")
class DeleteClearsTheChannel(InMemorySessionStore):
    """Deleting one session on a channel hides the others there."""

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "delete")
        done = await super().delete(session_id, tenant_id=tenant_id)
        if row is not None:
            for other in list(self._on_channel.rows((row.tenant_id, row.channel.value, row.user_channel_id))):
                self._on_channel.discard(other)
        return done


@mutant("SESSIONS-030")
class HidesClosed(InMemorySessionStore):
    """Lists leave closed sessions out."""

    async def list_by_agent(self, *args: Any, **kwargs: Any) -> Page[Session]:
        page = await super().list_by_agent(*args, **kwargs)
        return Page([row for row in page if row.status.value != "closed"], page.next_cursor)


@mutant("SESSIONS-031")
class FiltersThePage(InMemorySessionStore):
    """The status is tested after the page was cut."""

    async def list_by_agent(
        self, tenant_id: UUID, agent_id: UUID, status: Any = None, *args: Any, **kwargs: Any
    ) -> Page[Session]:
        page = await super().list_by_agent(tenant_id, agent_id, None, *args, **kwargs)
        return Page([row for row in page if status in (None, row.status)], page.next_cursor)


@mutant("SESSIONS-032")
class CustomerOfOneAgent(InMemorySessionStore):
    """A customer's list shows the sessions with the agent of the oldest one only."""

    async def list_by_customer(self, *args: Any, **kwargs: Any) -> Page[Session]:
        page = await super().list_by_customer(*args, **kwargs)
        return Page([row for row in page if row.agent_id == page[-1].agent_id], page.next_cursor)


@mutant("SESSIONS-033")
class ListsByBeginning(InMemorySessionStore):
    """A customer's sessions come by the time they began."""

    async def list_by_customer(self, *args: Any, **kwargs: Any) -> Page[Session]:
        page = await super().list_by_customer(*args, **kwargs)
        return Page(sorted(page, key=lambda row: row.created_at, reverse=True), page.next_cursor)


@mutant("SESSIONS-034")
class AnyVisitCounts(InMemorySessionStore):
    """A step counts by every visit of it, not by the newest one."""

    async def list_by_step(
        self, tenant_id: UUID, scenario_id: UUID, *, step_content_hash: str | None = None, **filters: Any
    ) -> Page[Session]:
        page = await super().list_by_step(tenant_id, scenario_id, **filters)
        if step_content_hash is None:
            return page
        return Page([row for row in page if step_content_hash in [one.step_content_hash for one in row.step_history]])


@mutant("SESSIONS-035", "SESSIONS-036", "SESSIONS-037")
class IgnoresTheScope(InMemorySessionStore):
    """A list by step takes in sessions outside of the scope."""

    async def list_by_step(
        self, tenant_id: UUID, scenario_id: UUID, *, scope: Any = None, **filters: Any
    ) -> Page[Session]:
        return await super().list_by_step(tenant_id, scenario_id, **filters)


@mutant("SESSIONS-036")
class TakesConditionsAsMet(InMemorySessionStore):
    """Conditions that only the application can judge are taken as met."""

    async def list_by_step(
        self, tenant_id: UUID, scenario_id: UUID, *, scope: Any = None, **filters: Any
    ) -> Page[Session]:
        judged = scope and scope.model_copy(update={"custom_conditions": []})
        return await super().list_by_step(tenant_id, scenario_id, scope=judged, **filters)


@mutant("SESSIONS-038")
class ListsInTens(InMemorySessionStore):
    """Lists return ten sessions unless told otherwise."""

    async def list_by_agent(
        self, tenant_id: UUID, agent_id: UUID, status: Any = None, limit: int = 10, *args: Any, **kwargs: Any
    ) -> Page[Session]:
        return await super().list_by_agent(tenant_id, agent_id, status, limit, *args, **kwargs)
