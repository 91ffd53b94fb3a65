"""One aimock for the tests of this folder; they skip where `nox -s providers` has not installed it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.providers.peer.differences import failing_rules

from focal_testkit.servers import ServerMissing, missing
from focal_testkit.servers.aimock import Aimock


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """Yield the server."""
    try:
        server = Aimock(tmp_path_factory.mktemp("aimock") / "server")
    except ServerMissing as error:
        missing("aimock", str(error), needed_in_ci=False)
    yield server
    server.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the rules to fail that aimock is known to break; one that passes is a failure, and leaves the table."""
    known = dict(failing_rules())
    for item in items:
        if item.path.name == "test_aimock_rules.py" and (found := known.get(item.nodeid.partition(".py::")[2])):
            item.add_marker(pytest.mark.xfail(strict=True, reason=f"aimock: {found.aimock}"))
