"""A third party's store and backend under the kit: one class, one method each."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from focal_core.context import BackendContext
from focal_core.plugins import discovery
from focal_testkit.contracts.audit import AuditStoreContract
from focal_testkit.contracts.backend import BackendContract


@pytest.fixture(scope="module", autouse=True)
def acme_is_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put the sample on the path together with the metadata an installer would write."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "acme_focal-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-focal\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[focal.backends]\nacme = acme_focal.backend:AcmeBackend\n")
    added = [str(site), str(Path(__file__).parent)]
    sys.path[:0] = added
    discovery.refresh()
    yield
    for path in added:
        sys.path.remove(path)
    discovery.refresh()


class TestAcmeAudit(AuditStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        from acme_focal.audit import AcmeAuditStore

        yield AcmeAuditStore(context)


class TestAcmeBackend(BackendContract):
    backend: ClassVar[str] = "acme"

    def options(self) -> Mapping[str, Any]:
        return {"shelf": "top"}
