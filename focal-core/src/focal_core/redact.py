"""Secrets in things that are shown: one way to hide them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

HIDDEN = "***"

_SECRET_NAME = re.compile(r"key|passw|token|secret|credential", re.IGNORECASE)
# Greedy up to the last "@": a password may hold "/", "?" and "@" unescaped. Rather too much is hidden than too little.
_USER_INFO = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^:/?#@\s]*):.*@", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"(?P<name>[\w.-]*(?:key|passw|token|secret|credential)[\w.-]*)=[^&\s]+", re.IGNORECASE)


def redact(url: str) -> str:
    """Return a URL or DSN without its password and secret parameters; user, host and path stay."""
    return _PARAMETER.sub(rf"\g<name>={HIDDEN}", _USER_INFO.sub(rf"\g<before>:{HIDDEN}@", url))


def redact_setting(name: str, value: Any) -> Any:
    """Return a setting as it may be shown.

    Args:
        name: the last part of its key; text under a name that tells of a key, password, token, secret or credential,
            and every value under ``headers``, is hidden.
        value: anything; mappings and lists are walked.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return HIDDEN
    if isinstance(value, Mapping):
        hide = name.lower() == "headers"
        return {key: HIDDEN if hide else redact_setting(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_setting(name, inner) for inner in value]
    if isinstance(value, str):
        # ``api_key_env`` names the variable that holds the secret.
        secret = value and _SECRET_NAME.search(name) and not name.endswith("_env")
        return HIDDEN if secret else redact(value)
    return value
