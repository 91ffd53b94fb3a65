"""How profile stores treat lineage, freshness and validation: built from settings ``[profile]``."""

from __future__ import annotations

from dataclasses import dataclass

from focal_core.base import TolerantEnum


class StaleFieldAction(TolerantEnum):
    """What the *default* freshness does to a field older than it."""

    WARN = "warn"
    BLOCK = "block"
    IGNORE = "ignore"


@dataclass(frozen=True)
class ProfilePolicy:
    """What every ProfileStore is handed besides its resource.

    Attributes:
        max_derivation_chain_depth: links of one lineage chain at most, 1 to 100; checked on write.
        lineage_tracking_enabled: False drops ``source_item_*`` before storing; links already stored keep working.
        default_freshness_seconds: age beyond which a field without a definition of its own is stale; None = never.
        stale_field_action: what the default freshness does (a definition's own freshness always blocks).
        validation_enabled: fields are checked against their definitions on write.
        validation_strict: fields without a definition are refused.
    """

    max_derivation_chain_depth: int = 10
    lineage_tracking_enabled: bool = True
    default_freshness_seconds: int | None = None
    stale_field_action: StaleFieldAction = StaleFieldAction.WARN
    validation_enabled: bool = True
    validation_strict: bool = False
