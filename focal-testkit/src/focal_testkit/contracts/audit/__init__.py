"""The contract of the audit port."""

from __future__ import annotations

from focal_testkit.contracts.audit.events import EventContract
from focal_testkit.contracts.audit.purge import PurgeContract
from focal_testkit.contracts.audit.scenarios import AuditScenarios
from focal_testkit.contracts.audit.turns import TurnContract
from focal_testkit.contracts.generated import StoreContract


class AuditStoreContract(TurnContract, EventContract, PurgeContract, StoreContract):
    """Everything an AuditStore must do; a subclass gives ``open_store``."""

    scenarios = AuditScenarios()


__all__ = ["AuditStoreContract"]
