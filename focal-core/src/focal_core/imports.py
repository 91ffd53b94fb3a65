"""Things named by ``"module:attribute"`` strings, so that naming them imports nothing."""

from __future__ import annotations

import importlib
from typing import Any


def resolve(target: str) -> Any:
    """Import and return what a ``"module:attribute"`` string names.

    Raises:
        ImportError: the module cannot be imported, or has no such attribute.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"{target}: {error}") from error
