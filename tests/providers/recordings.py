"""What is kept of a vendor's answers, and a search for what must not be.

Cassettes are written by ``nox -s record``. Of the headers only those stay that are listed here; keys and the names of
organizations, projects and users are cut out of bodies. The search knows nothing of that list.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

CASSETTES = Path(__file__).with_name("cassettes")
_ASKED = {"accept", "anthropic-version", "content-type"}
_ANSWERED = re.compile(r"content-type|(x-)?request-id|retry-after(-ms)?|x-should-retry|(anthropic|x)-ratelimit-.+")
_NAMES = re.compile(r"(?<![A-Za-z0-9])(sk-|org-|proj_|user-|wrkspc_|workspace-)[A-Za-z0-9_-]{4,}")
_KEYLIKE = re.compile(
    r"(?<![a-z0-9])sk-[a-z0-9_-]{6,}|bearer\s+\S+|(?<![a-z0-9+/])eyJ[a-z0-9_-]{10,}|AKIA[A-Z0-9]{12,}"
    r"|x-api-key|authorization|cookie|organization[\"']?:|project[\"']?:|(?<![a-z])(org-|proj_|wrkspc_)(?!removed)\w+",
    re.IGNORECASE,
)


def recording(config: pytest.Config) -> bool:
    """Return whether the vendors are asked anew."""
    return config.getoption("--record-mode", None) not in (None, "none")


def vcr_settings() -> dict[str, Any]:
    """Return how vcrpy keeps and finds answers."""
    return {
        "match_on": ["method", "path", "body"],
        "decode_compressed_response": True,
        "before_record_request": _asked,
        "before_record_response": _answered,
    }


def _asked(request: Any) -> Any:
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in _ASKED}
    return request


def _answered(response: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in response["headers"].items() if _ANSWERED.fullmatch(name.lower())}
    body = _NAMES.sub(r"\1removed", response["body"]["string"].decode())
    return {**response, "headers": kept, "body": {"string": body.encode()}}


def keylike(text: str) -> list[str]:
    """Return what in a cassette looks like a key, or like the name of whoever owns it."""
    return [found.group() for found in _KEYLIKE.finditer(text) if "removed" not in found.group()]
