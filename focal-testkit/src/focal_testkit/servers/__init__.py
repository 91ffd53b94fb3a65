"""Real servers for tests: an address from the environment, else a container, else embedded binaries.

A server that is needed and missing is a failure where ``FOCAL_REQUIRE`` names the service (comma separated, such as
``postgres,redis``) or ``CI`` is true; elsewhere it skips the test and says what to do.
"""

from __future__ import annotations

import os
import subprocess
from typing import NoReturn

import pytest


class ServerMissing(Exception):
    """No way to a server led to one; the message names each way and why it failed."""


def missing(service: str, reason: str, *, needed_in_ci: bool = True) -> NoReturn:
    """Fail or skip the running test for want of a service.

    Args:
        service: as ``FOCAL_REQUIRE`` names it.
        reason: what was tried and what would help.
        needed_in_ci: whether ``CI`` alone makes it a failure.
    """
    required = {name.strip() for name in os.environ.get("FOCAL_REQUIRE", "").split(",")}
    in_ci = os.environ.get("CI", "").lower() in ("1", "true")
    if service in required or (needed_in_ci and in_ci):
        pytest.fail(f"{service} is required here and missing: {reason}", pytrace=False)
    pytest.skip(f"{service} is missing: {reason}")


def require_docker() -> None:
    """Raise ``ServerMissing`` unless a Docker engine answers."""
    try:
        engine = subprocess.run(["docker", "version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise ServerMissing("no Docker") from None
    if engine.returncode != 0:
        raise ServerMissing("no Docker engine answers")
