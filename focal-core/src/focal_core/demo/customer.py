"""The customer of a replayed turn: found by channel, joined over channels, and what the turn tells of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from focal_core.demo.agent_file import AgentDefinition, stable_id
from focal_core.demo.conversations import Conversation, LoggedField
from focal_core.demo.exchange import Exchange
from focal_core.demo.report import ReplayReport
from focal_core.errors import ConflictError, InvalidDataError
from focal_core.profile.models import ChannelIdentity, CustomerProfile, ProfileField, SourceType, ValueType
from focal_core.values import canonical_json

if TYPE_CHECKING:
    from focal_core.profile.bound import BoundProfileStore


class Customers:
    """Finds customers and fills their profiles.

    Args:
        agent: the agent, whose field definitions hold.
        profiles: the profile store of its tenant.
        report: counts what is collected.
    """

    def __init__(self, agent: AgentDefinition, profiles: BoundProfileStore, report: ReplayReport) -> None:
        self.agent = agent.agent
        self.fields = {definition.name: definition for definition in agent.fields}
        self.profiles = profiles
        self.report = report

    async def find(self, conversation: Conversation) -> CustomerProfile:
        """Return the customer's profile, created if there is none; ``customer`` joins the channels of one person."""
        profiles, channel, user = self.profiles, conversation.channel, conversation.user
        if conversation.customer is None:
            return await profiles.get_or_create(channel, user)
        known = await profiles.get_by_external_id(conversation.customer)
        if known is not None and any(
            (one.channel, one.channel_user_id) == (channel, user) for one in known.channel_identities
        ):
            return known
        on_channel = await profiles.get_by_channel_identity(channel, user)
        if on_channel is not None and on_channel.external_id is not None:
            raise InvalidDataError(
                f"the user of this channel is customer {on_channel.external_id!r}, not {conversation.customer!r}",
                code="conversation_invalid",
                hint="give each user of a channel one customer",
            )
        if known is None:
            profile = on_channel or await profiles.get_or_create(channel, user)
            profile.external_id = conversation.customer
            await profiles.save(profile)
            return profile
        if on_channel is not None:
            return await profiles.merge_profiles(source_profile_id=on_channel.id, target_profile_id=known.id)
        await profiles.link_channel(known.id, ChannelIdentity(channel=channel, channel_user_id=user))
        return await profiles.get_or_create(channel, user)

    async def collect(self, exchange: Exchange, profile: CustomerProfile, at: datetime) -> list[str]:
        """Write the facts a turn brought up into the profile, also the one passed in, and return the names written."""
        written = []
        for logged in exchange.turn.fields:
            current = profile.fields.get(logged.name)
            # As JSON: in Python True equals 1.
            if current is not None and canonical_json(current.value) == canonical_json(logged.value):
                self.report.fields_unchanged += 1
                continue
            try:
                found = self.new_field(exchange, logged, at)
                await self.profiles.update_field(profile.id, found, agent_id=self.agent.id)
            except ValidationError as error:
                exchange.refused.append(InvalidDataError.from_validation(error, f"field {logged.name!r}"))
            except (InvalidDataError, ConflictError) as error:
                exchange.refused.append(error)
            else:
                profile.fields[logged.name] = found
                written.append(logged.name)
                self.report.fields_collected += 1
                if exchange.place.scenario is not None:
                    self.report.collected[exchange.place.scenario.name][logged.name] += 1
        return written

    def new_field(self, exchange: Exchange, logged: LoggedField, at: datetime) -> ProfileField:
        """Return a fact of the log as a profile field that says where it comes from."""
        definition = self.fields.get(logged.name)
        return ProfileField(
            id=stable_id(exchange.session_id, "", "field", exchange.number, logged.name),
            name=logged.name,
            value=logged.value,
            value_type=_type_of(logged.value) if definition is None else definition.value_type,
            source=logged.source,
            source_session_id=exchange.session_id,
            source_scenario_id=exchange.place.scenario_id,
            source_step_id=exchange.place.step_id,
            source_item_type=SourceType.SESSION,
            source_metadata={"turn_id": str(exchange.turn_id), "turn_number": exchange.number},
            confidence=logged.confidence,
            verified=logged.verified,
            collected_at=at,
            field_definition_id=None if definition is None else definition.id,
        )


def _type_of(value: Any) -> ValueType:
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, int | float):
        return ValueType.NUMBER
    return ValueType.STRING if isinstance(value, str) else ValueType.JSON
