"""The contract of the runtime port."""

from __future__ import annotations

from focal_testkit.contracts.generated import StoreContract
from focal_testkit.contracts.runtime.archive import ArchiveContract
from focal_testkit.contracts.runtime.checkpoints import CheckpointContract
from focal_testkit.contracts.runtime.conversations import ConversationContract
from focal_testkit.contracts.runtime.dual_write import DualWriteContract
from focal_testkit.contracts.runtime.scenarios import RuntimeScenarios
from focal_testkit.contracts.runtime.sessions import SessionContract
from focal_testkit.contracts.runtime.upkeep import UpkeepContract
from focal_testkit.contracts.runtime.values import ValueContract
from focal_testkit.contracts.runtime.writes import WriteContract


class RuntimeContract(
    SessionContract,
    ConversationContract,
    CheckpointContract,
    WriteContract,
    ValueContract,
    UpkeepContract,
    ArchiveContract,
    StoreContract,
):
    """Everything a RuntimeStore must do; a subclass gives ``open_store``."""

    scenarios = RuntimeScenarios()


class RuntimeDualWriteContract(DualWriteContract):
    """Everything ``DualWriteStorage`` must do over a RuntimeStore; a subclass gives ``open_store``, ``combine``."""

    scenarios = RuntimeScenarios()


__all__ = ["RuntimeContract", "RuntimeDualWriteContract"]
