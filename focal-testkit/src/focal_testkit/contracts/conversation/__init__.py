"""The contract of the sessions port."""

from __future__ import annotations

from focal_testkit.contracts.conversation.copies import CopyContract
from focal_testkit.contracts.conversation.expiry import ExpiryContract
from focal_testkit.contracts.conversation.listing import ListingContract
from focal_testkit.contracts.conversation.load import LoadContract
from focal_testkit.contracts.conversation.lookup import LookupContract
from focal_testkit.contracts.conversation.saving import SavingContract
from focal_testkit.contracts.conversation.scenarios import SessionScenarios
from focal_testkit.contracts.conversation.tiers import TierContract
from focal_testkit.contracts.conversation.versions import VersionContract
from focal_testkit.contracts.generated import StoreContract


class SessionStoreContract(
    SavingContract,
    VersionContract,
    LookupContract,
    ListingContract,
    ExpiryContract,
    TierContract,
    CopyContract,
    LoadContract,
    StoreContract,
):
    """Everything a SessionStore must do; a subclass gives ``open_store``."""

    scenarios = SessionScenarios()


__all__ = ["SessionStoreContract"]
