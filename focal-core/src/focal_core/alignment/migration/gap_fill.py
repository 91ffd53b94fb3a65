"""Gap filling under the path of the source documents; it lives in ``focal_core.profile.gap_fill``."""

from __future__ import annotations

from focal_core.profile.gap_fill import EnhancedGapFillService, GapFillService
from focal_core.profile.models import GapFillResult

__all__ = ["EnhancedGapFillService", "GapFillResult", "GapFillService"]
