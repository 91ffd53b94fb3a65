"""Tenants never meet: every method, run by a stranger."""

from __future__ import annotations

import inspect
from typing import Any
from uuid import UUID

import pytest

from focal_core.errors import InvalidDataError, NotFoundError, TenantRequiredError, UnsupportedOperationError
from focal_core.ids import NIL
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.generated.copies import content
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS, Stored, comes_to_nothing


class IsolationChecks(ContractBase):
    """A foreign id is a missing id, an omitted tenant is never guessed, a bound view never strays."""

    async def _run(self, method: str, store: Any, tenant_id: UUID | None, world: Any) -> Any:
        try:
            return await self.scenarios.run(method, store, tenant_id, world)
        except NotFoundError:
            return None
        except UnsupportedOperationError:
            pytest.skip(f"n/a: {method} needs a capability that is not declared")

    @requirement("STORE-001", since="1.0")
    async def test_stranger_tenant(self, store: Any, method: str) -> None:
        """A tenant that uses another tenant's ids finds nothing and changes nothing; the owner finds it all.

        If this fails: a statement or a key of this method does not carry the tenant.
        """
        world = await self.scenarios.seed(store, OURS)
        before = await self.scenarios.snapshot(store, OURS)

        as_stranger = await self._run(method, store, THEIRS, world)

        if method not in self.scenarios.creates:
            assert comes_to_nothing(as_stranger), f"{method} gave a stranger {type(as_stranger).__name__}"
        assert await self.scenarios.snapshot(store, OURS) == before, f"{method} by a stranger changed the owner's data"
        as_owner = await self._run(method, store, OURS, world)
        assert not comes_to_nothing(as_owner), f"the scenario of {method} is vacuous: the owner gets nothing either"

    @requirement("STORE-002", since="1.0")
    async def test_same_id_two_tenants(self, store: Any, stored: Stored) -> None:
        """Two tenants may store rows of one id; both live, independently of each other.

        If this fails: the id alone is the key, or the join, and one tenant's save takes the other's row over.
        """
        mine = stored.make(OURS)
        shared = {"id": mine.id} if "id" in stored.model.model_fields else {"session_id": mine.session_id}
        theirs = stored.make(THEIRS, seed=1, **shared)
        expected = [content(one, stored) for one in (mine, theirs)]
        for one in (mine, theirs):
            await stored.ready(store, one)
            await stored.save(store, one)

        found_mine, found_theirs = await stored.get(store, mine), await stored.get(store, theirs)

        assert found_mine is not None
        assert found_theirs is not None
        assert (found_mine.tenant_id, found_theirs.tenant_id) == (OURS, THEIRS)
        assert [content(found, stored) for found in (found_mine, found_theirs)] == expected

        await stored.save(store, found_theirs)

        assert await stored.get(store, mine) == found_mine, "a later save changed the other tenant's row"

    @requirement("STORE-003", since="1.0")
    async def test_strict_requires_tenant(self, store: Any, tenantless_method: str) -> None:
        """Under strict isolation a call without its tenant is refused.

        If this fails: the method looks the id up over all tenants.
        """
        world = await self.scenarios.seed(store, OURS)
        before = await self.scenarios.snapshot(store, OURS)

        with pytest.raises(TenantRequiredError):
            await self._run(tenantless_method, store, None, world)

        assert await self.scenarios.snapshot(store, OURS) == before

    @requirement("STORE-004", since="1.0")
    async def test_trusting_ambiguous(self, trusting_store: Any, tenantless_method: str) -> None:
        """Under trusting isolation a call that could mean several tenants is refused and changes nothing.

        If this fails: the store picks one of the tenants, or acts on all of them.
        """
        if self.scenarios.nil_tenant_when_omitted:
            pytest.skip("n/a: in the runtime family an omitted tenant is the nil tenant")
        world = await self.scenarios.seed(trusting_store, OURS)
        await self.scenarios.seed(trusting_store, THEIRS)
        before = [await self.scenarios.snapshot(trusting_store, tenant) for tenant in (OURS, THEIRS)]

        with pytest.raises(TenantRequiredError):
            await self._run(tenantless_method, trusting_store, None, world)

        assert [await self.scenarios.snapshot(trusting_store, tenant) for tenant in (OURS, THEIRS)] == before

    @requirement("STORE-005", since="1.0")
    async def test_trusting_unambiguous(self, trusting_store: Any, tenantless_method: str) -> None:
        """Under trusting isolation a call without tenant works when only one tenant can be meant.

        If this fails: trusting isolation is not honoured.
        """
        tenant = NIL if self.scenarios.nil_tenant_when_omitted else OURS
        world = await self.scenarios.seed(trusting_store, tenant)

        result = await self._run(tenantless_method, trusting_store, None, world)

        assert not comes_to_nothing(result)

    @requirement("STORE-019", since="1.0")
    async def test_trusting_leaves_out_tenants_with_other_ids(
        self, trusting_store: Any, tenantless_method: str
    ) -> None:
        """A tenant that has rows, but not the ones a call without tenant names, is not one it could mean.

        If this fails: any second tenant in the store makes the call ambiguous.
        """
        tenant = NIL if self.scenarios.nil_tenant_when_omitted else OURS
        world = await self.scenarios.seed(trusting_store, tenant)
        for stored in self.scenarios.stored:
            other = stored.make(THEIRS, seed=9)
            await stored.ready(trusting_store, other)
            await stored.save(trusting_store, other)

        result = await self._run(tenantless_method, trusting_store, None, world)

        assert not comes_to_nothing(result)

    @requirement("STORE-018", since="1.0")
    async def test_trusting_forgets_erased_tenants(self, trusting_store: Any, tenantless_method: str) -> None:
        """A tenant whose rows are gone is no longer one that a call without tenant could mean.

        If this fails: an index keeps the tenant after its last row.
        """
        tenant = NIL if self.scenarios.nil_tenant_when_omitted else OURS
        world = await self.scenarios.seed(trusting_store, tenant)
        await self.scenarios.seed(trusting_store, THEIRS)
        await trusting_store.erase_tenant(THEIRS)

        result = await self._run(tenantless_method, trusting_store, None, world)

        assert not comes_to_nothing(result)

    @requirement("STORE-006", since="1.0")
    async def test_bound_view(self, store: Any, method: str) -> None:
        """A view bound to a tenant offers every method in the same order without the tenant.

        If this fails: the view is not the one focal-core generates from the port.
        """
        view = store.for_tenant(OURS)

        own = [name for name in inspect.signature(getattr(store, method)).parameters if name != "tenant_id"]
        bound = list(inspect.signature(getattr(view, method)).parameters)

        assert bound == own

    @requirement("STORE-007", since="1.0")
    async def test_list_tenants(self, store: Any) -> None:
        """The tenants that have rows are listed by id, page by page.

        If this fails: a kind of row is left out, or the order or the cursor is wrong.
        """
        assert await store.list_tenants() == []
        tenants = [THEIRS, UUID(int=9), OURS, UUID(int=2**127), UUID(int=10)]
        for tenant in tenants:
            await self.scenarios.seed(store, tenant)

        first = await store.list_tenants(limit=3)
        rest = await store.list_tenants(limit=3, after=first.next_cursor)

        assert await store.list_tenants() == sorted(tenants)
        assert [*first, *rest] == sorted(tenants)
        assert (len(first), rest.next_cursor) == (3, None)
        assert (await store.list_tenants(limit=5)).next_cursor is None
        for bad in ({"limit": 0}, {"limit": 1001}, {"after": "nonsense"}):
            with pytest.raises(InvalidDataError):
                await store.list_tenants(**bad)

    @requirement("STORE-008", since="1.0")
    async def test_erase_tenant(self, store: Any) -> None:
        """Erasing a tenant removes all of its rows and nobody else's, and a second time removes none.

        If this fails: a kind of row survives, or the neighbour's rows go too.
        """
        for tenant in (OURS, THEIRS):
            await self.scenarios.seed(store, tenant)
        empty = await self.scenarios.snapshot(store, UUID(int=7))
        neighbour = await self.scenarios.snapshot(store, THEIRS)

        assert await store.erase_tenant(OURS) > 0

        assert await self.scenarios.snapshot(store, OURS) == empty
        assert await self.scenarios.snapshot(store, THEIRS) == neighbour
        assert await store.list_tenants() == [THEIRS]
        assert await store.erase_tenant(OURS) == 0

    @requirement("STORE-009", since="1.0")
    async def test_capability_is_kept_or_refused(self, store: Any, capability_call: tuple[str, str]) -> None:
        """A declared capability works, an undeclared one raises UnsupportedOperationError.

        If this fails: the capability is declared without being there, or is there without being declared.
        """
        capability, method = capability_call
        world = await self.scenarios.seed(store, OURS)

        if capability in store.capabilities:
            assert not comes_to_nothing(await self.scenarios.run(method, store, OURS, world))
        else:
            with pytest.raises(UnsupportedOperationError):
                await self.scenarios.run(method, store, OURS, world)
