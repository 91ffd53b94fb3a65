"""The contract of the profile port."""

from __future__ import annotations

from focal_testkit.contracts.generated import StoreContract
from focal_testkit.contracts.profile.assets import AssetContract
from focal_testkit.contracts.profile.channels import ChannelContract
from focal_testkit.contracts.profile.erasure import ErasureContract
from focal_testkit.contracts.profile.expiry import ExpiryContract
from focal_testkit.contracts.profile.fields import FieldContract
from focal_testkit.contracts.profile.lineage import LineageContract
from focal_testkit.contracts.profile.merge import MergeContract
from focal_testkit.contracts.profile.merging import MergingContract
from focal_testkit.contracts.profile.missing import MissingContract
from focal_testkit.contracts.profile.orphans import OrphanContract
from focal_testkit.contracts.profile.records import RecordContract
from focal_testkit.contracts.profile.requirements import RequirementContract
from focal_testkit.contracts.profile.saving import SavingContract
from focal_testkit.contracts.profile.scenarios import ProfileScenarios
from focal_testkit.contracts.profile.schema import SchemaContract
from focal_testkit.contracts.profile.versions import VersionContract


class ProfileStoreContract(
    RecordContract,
    SavingContract,
    VersionContract,
    ErasureContract,
    FieldContract,
    ExpiryContract,
    AssetContract,
    LineageContract,
    OrphanContract,
    ChannelContract,
    MergeContract,
    MergingContract,
    SchemaContract,
    RequirementContract,
    MissingContract,
    StoreContract,
):
    """Everything a ProfileStore must do; a subclass gives ``open_store``."""

    scenarios = ProfileScenarios()


__all__ = ["ProfileStoreContract"]
