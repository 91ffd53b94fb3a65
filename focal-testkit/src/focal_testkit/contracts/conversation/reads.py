"""Every way to read a session, for requirements about being found or gone."""

from __future__ import annotations

from focal_core.conversation.models import Session
from focal_core.conversation.store import SessionStore

EVERYWHERE = {"get", "get_by_channel", "list_by_agent", "status", "list_by_customer", "list_by_step"}
"""What ``found_by`` returns for a session that all reads find."""


async def found_by(store: SessionStore, session: Session) -> set[str]:
    """Return the reads that find a placed session which is the only open one on its channel."""
    tenant, id = session.tenant_id, session.session_id
    assert session.customer_profile_id is not None
    assert session.active_scenario_id is not None
    rows = {
        "list_by_agent": await store.list_by_agent(tenant, session.agent_id),
        "status": await store.list_by_agent(tenant, session.agent_id, session.status),
        "list_by_customer": await store.list_by_customer(tenant, session.customer_profile_id),
        "list_by_step": await store.list_by_step(tenant, session.active_scenario_id),
    }
    singles = {
        "get": await store.get(id, tenant_id=tenant),
        "get_by_channel": await store.get_by_channel(tenant, session.channel, session.user_channel_id),
    }
    found = {name for name, page in rows.items() if id in [row.session_id for row in page]}
    return found | {name for name, row in singles.items() if row is not None and row.session_id == id}
