"""The contract of the memory port."""

from __future__ import annotations

from focal_testkit.contracts.generated import StoreContract
from focal_testkit.contracts.memory.entities import EntityContract
from focal_testkit.contracts.memory.episodes import EpisodeContract
from focal_testkit.contracts.memory.groups import GroupContract
from focal_testkit.contracts.memory.relationships import RelationshipContract
from focal_testkit.contracts.memory.rules import RuleContract
from focal_testkit.contracts.memory.scenarios import MemoryScenarios
from focal_testkit.contracts.memory.search import EpisodeSearchContract
from focal_testkit.contracts.memory.text import TextSearchContract
from focal_testkit.contracts.memory.traversal import TraversalContract
from focal_testkit.contracts.memory.vectors import VectorContract
from focal_testkit.contracts.memory.versions import VersionContract


class MemoryStoreContract(
    RuleContract,
    VersionContract,
    EpisodeContract,
    VectorContract,
    TextSearchContract,
    EpisodeSearchContract,
    EntityContract,
    RelationshipContract,
    TraversalContract,
    GroupContract,
    StoreContract,
):
    """Everything a MemoryStore must do; a subclass gives ``open_store``."""

    scenarios = MemoryScenarios()


__all__ = ["MemoryStoreContract"]
