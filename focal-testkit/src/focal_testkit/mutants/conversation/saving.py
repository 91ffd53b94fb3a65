"""Session stores that break a rule about saving and versions."""

from __future__ import annotations

import asyncio
from typing import Any

from focal_core.conversation import lifecycle
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Channel, Session
from focal_core.errors import StaleVersionError
from focal_testkit.mutants import mutant


@mutant("SESSIONS-001")
class SavesNothing(InMemorySessionStore):
    """save answers as if it had stored the session."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        lifecycle.settle(session, None, self.context.clock.now(), self.context.session_policy)
        return session.model_copy(deep=True)


@mutant("SESSIONS-002")
class MergesVariables(InMemorySessionStore):
    """Variables that were taken out of a session stay in the stored one."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = self._sessions.get(session.tenant_id, session.session_id)
        if stored is not None:
            session.variables = {**stored.variables, **session.variables}
        return await super().save(session, force=force)


@mutant("SESSIONS-003")
class CreatedAtIsTheCallers(InMemorySessionStore):
    """created_at is what the model's default says, not the store's clock."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        session.set_stored(created_at=session.created_at)
        return await super().save(session, force=force)


@mutant("SESSIONS-003")
class CreatedAtIsTheStores(InMemorySessionStore):
    """A created_at given at construction is overwritten by the clock."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        if session.version == 0:
            session.__pydantic_fields_set__.discard("created_at")
        return await super().save(session, force=force)


@mutant("SESSIONS-004")
class ForceChangesEverything(InMemorySessionStore):
    """A forced save may change the agent and created_at."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        if force:
            self._sessions.remove(session.tenant_id, session.session_id)
        return await super().save(session, force=force)


@mutant("SESSIONS-005")
class ReopensClosed(InMemorySessionStore):
    """A closed session is opened by any save."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = self._sessions.get(session.tenant_id, session.session_id)
        if stored is not None and stored.version == session.version:
            reopened = stored.model_copy(update={"status": session.status})
            self._sessions.put(reopened)
        return await super().save(session, force=force)


@mutant("SESSIONS-005")
class ClosedIsFrozen(InMemorySessionStore):
    """A closed session takes no save at all."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = self._sessions.get(session.tenant_id, session.session_id)
        if stored is not None and stored.status.value == "closed" and not force:
            raise StaleVersionError("closed", expected=session.version, actual=stored.version)
        return await super().save(session, force=force)


@mutant("SESSIONS-006")
class RepairsOrphanedSteps(InMemorySessionStore):
    """A step without a scenario is dropped in silence."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        if session.active_scenario_id is None:
            session.set_stored(current_step_id=None, active_scenario_version=None)
        return await super().save(session, force=force)


@mutant("SESSIONS-007")
class KeepsOldestVisits(InMemorySessionStore):
    """Of too many visits the oldest are kept."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        limit = self.context.session_policy.step_history_limit
        excess = max(0, len(session.step_history) - limit)
        session.set_stored(
            step_history=session.step_history[:limit], step_history_dropped=session.step_history_dropped + excess
        )
        return await super().save(session, force=force)


@mutant("SESSIONS-008")
class KnowsTheKnownChannels(InMemorySessionStore):
    """A channel of another name is stored as the API."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        if session.channel.value not in [known.value for known in Channel]:
            session.channel = Channel.API
        return await super().save(session, force=force)


@mutant("SESSIONS-009")
class IntegersBecomeFloats(InMemorySessionStore):
    """Numbers in variables lose what a float cannot hold."""

    async def get(self, *args: Any, **kwargs: Any) -> Session | None:
        found = await super().get(*args, **kwargs)
        return found and found.model_copy(update={"variables": _altered(found.variables)})


def _altered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("\ud800", "?"): _altered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_altered(item) for item in value] or None
    return float(value) if isinstance(value, int) else value.strip("\x00") or None if isinstance(value, str) else value


@mutant("SESSIONS-010")
class KeepsTheVersionToItself(InMemorySessionStore):
    """The object passed in keeps its version; the copy returned has the new one."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        return await super().save(session.model_copy(deep=True), force=force)


@mutant("SESSIONS-010")
class ReturnsTheCallersObject(InMemorySessionStore):
    """save returns the object passed in."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        await super().save(session, force=force)
        return session


@mutant("SESSIONS-011", "SESSIONS-012", "SESSIONS-016", "SESSIONS-017")
class LastWriteWins(InMemorySessionStore):
    """Every save is forced."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        return await super().save(session, force=True)


@mutant("SESSIONS-012")
class NewMayReplace(InMemorySessionStore):
    """Version 0 is no expectation."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        return await super().save(session, force=force or session.version == 0)


@mutant("SESSIONS-013")
class ComparesThenWrites(InMemorySessionStore):
    """The version is compared in one step and the session written in the next."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = self._sessions.get(session.tenant_id, session.session_id)
        if (0 if stored is None else stored.version) != session.version:
            raise lifecycle.stale(session, 0)
        await asyncio.sleep(0)
        return await super().save(session, force=True)


@mutant("SESSIONS-014")
class IgnoresForce(InMemorySessionStore):
    """force has no effect."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        return await super().save(session)


@mutant("SESSIONS-014")
class ForceKeepsTheCallersVersion(InMemorySessionStore):
    """A forced save continues from the caller's version."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = self._sessions.get(session.tenant_id, session.session_id)
        if force and stored is not None:
            stored.set_stored(version=session.version)
        return await super().save(session, force=force)


@mutant("SESSIONS-015")
class ForgetsTokens(InMemorySessionStore):
    """The write token is not stored."""

    @staticmethod
    def _is_repeat(session: Session, row: Session, stored: Session) -> bool:
        return False


@mutant("SESSIONS-016", "SESSIONS-013")
class TakesContentForProof(InMemorySessionStore):
    """A stored session of equal content passes for one's own write."""

    @staticmethod
    def _is_repeat(session: Session, row: Session, stored: Session) -> bool:
        same = lifecycle.content_digest(stored) == lifecycle.content_digest(row)
        return same and stored.version == session.version + 1


@mutant("SESSIONS-017")
class TakesTheTokenForProof(InMemorySessionStore):
    """A repeat with other content passes by its token."""

    @staticmethod
    def _is_repeat(session: Session, row: Session, stored: Session) -> bool:
        return stored._write_token == session._write_token


@mutant("SESSIONS-017")
class KeepsTheTokenOfALostRace(InMemorySessionStore):
    """A refused save keeps its write token."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        token = session._write_token
        try:
            return await super().save(session, force=force)
        except StaleVersionError:
            session._write_token = token
            raise


@mutant("SESSIONS-018")
class SetsBeforeItWrites(InMemorySessionStore):
    """Version and times are set on the object before the save is checked."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        session.set_stored(last_activity_at=self.context.clock.now())
        return await super().save(session, force=force)
