"""focal-core: the contracts, models, registry and in-memory reference of focal.

The public names. All but the errors are imported when they are first used, so that importing the package costs next
to nothing; every other error is in ``focal_core.errors``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from focal_core.errors import (
    ConfigurationError,
    ConflictError,
    DuplicateError,
    FocalError,
    InvalidDataError,
    NotFoundError,
    PluginNotFoundError,
    ProviderError,
    SettingsError,
    StaleVersionError,
    StoreError,
    StoreUnavailableError,
    TenantRequiredError,
)

if TYPE_CHECKING:
    from focal_core.app import Focal as Focal
    from focal_core.clock import Clock as Clock
    from focal_core.clock import ManualClock as ManualClock
    from focal_core.clock import SystemClock as SystemClock
    from focal_core.context import BackendContext as BackendContext
    from focal_core.context import Isolation as Isolation
    from focal_core.context import Limits as Limits
    from focal_core.health import CheckResult as CheckResult
    from focal_core.health import HealthReport as HealthReport
    from focal_core.paging import Page as Page
    from focal_core.plugins.backend import Backend as Backend
    from focal_core.plugins.hooks import hookimpl as hookimpl
    from focal_core.settings import FocalSettings as FocalSettings
    from focal_core.store import Store as Store
    from focal_core.sync import SyncFocal as SyncFocal
    from focal_core.tenancy import TenantView as TenantView

_MODULES = {
    "Backend": "focal_core.plugins.backend",
    "BackendContext": "focal_core.context",
    "CheckResult": "focal_core.health",
    "Clock": "focal_core.clock",
    "Focal": "focal_core.app",
    "FocalSettings": "focal_core.settings",
    "HealthReport": "focal_core.health",
    "Isolation": "focal_core.context",
    "Limits": "focal_core.context",
    "ManualClock": "focal_core.clock",
    "Page": "focal_core.paging",
    "Store": "focal_core.store",
    "SyncFocal": "focal_core.sync",
    "SystemClock": "focal_core.clock",
    "TenantView": "focal_core.tenancy",
    "hookimpl": "focal_core.plugins.hooks",
}

__all__ = [
    "Backend",
    "BackendContext",
    "CheckResult",
    "Clock",
    "ConfigurationError",
    "ConflictError",
    "DuplicateError",
    "Focal",
    "FocalError",
    "FocalSettings",
    "HealthReport",
    "InvalidDataError",
    "Isolation",
    "Limits",
    "ManualClock",
    "NotFoundError",
    "Page",
    "PluginNotFoundError",
    "ProviderError",
    "SettingsError",
    "StaleVersionError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "SyncFocal",
    "SystemClock",
    "TenantRequiredError",
    "TenantView",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'focal_core' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
