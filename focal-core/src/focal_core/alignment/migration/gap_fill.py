"""Gap filling under the path of the source documents; it lives in ``focal_core.profile.gap_fill``."""

from __future__ import annotations

from focal_core.profile.gap_fill import EnhancedGapFillService, GapFillResult, GapFillService

__all__ = ["EnhancedGapFillService", "GapFillResult", "GapFillService"]
