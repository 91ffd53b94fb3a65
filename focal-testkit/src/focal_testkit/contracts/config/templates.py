"""Templates: saved whole, listed by age, filtered by scope."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from focal_core.config.models import Scope, TemplateMode
from focal_core.config.store import ConfigStore
from focal_core.errors import InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import (
    AGENT,
    OTHER_AGENT,
    OTHER_SCENARIO,
    SCENARIO,
    START,
    STEP,
    numbered,
    template,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class TemplateContract(ContractBase):
    """``save_template``, ``get_template``, ``get_templates`` and ``delete_template``."""

    @requirement("CONFIG-050", since="1.0")
    async def test_save_and_get_template(self, store: ConfigStore) -> None:
        """A saved template is found by its id with every field; no agent need be saved first.

        If this fails: a field has no place in the store, or the mode is reset.
        """
        saved = template(3, mode="EXCLUSIVE", scope="step", scope_id=STEP, conditions="on Sundays", content=" Hi {x}\n")
        await store.save_template(template(3, tenant=THEIRS))

        assert await store.save_template(saved) == saved.id

        found = await store.get_template(OURS, saved.id)
        assert found == saved
        assert found is not None
        assert (found.mode, found.text) == (TemplateMode.EXCLUSIVE, " Hi {x}\n")
        assert await store.get_template(OURS, numbered(99)) is None

    @requirement("CONFIG-051", since="1.0")
    async def test_templates_order(self, store: ConfigStore) -> None:
        """The templates of an agent come by created_at, then id.

        If this fails: ties are in the order of saving, or another agent's templates are listed.
        """
        for n, minutes in ((3, 5), (10, 0), (9, 0), (2, 5)):
            await store.save_template(template(n, created_at=START + timedelta(minutes=minutes)))
        await store.save_template(template(4, agent_id=OTHER_AGENT))
        await store.save_template(template(5, tenant=THEIRS))

        found = await store.get_templates(OURS, AGENT)

        assert [one.id for one in found] == [template(n).id for n in (9, 10, 2, 3)]

    @requirement("CONFIG-052", since="1.0")
    async def test_templates_by_scope(self, store: ConfigStore) -> None:
        """A scope filter finds exactly the templates of that scope and, if given, that id; no filter finds all.

        If this fails: the filter is ignored, or global templates are added to it.
        """
        await store.save_template(template(0))
        await store.save_template(template(1, scope="scenario", scope_id=SCENARIO))
        await store.save_template(template(2, scope="scenario", scope_id=OTHER_SCENARIO))
        await store.save_template(template(3, scope="step", scope_id=SCENARIO))

        async def found(scope: Scope | None = None, *ids: object) -> list[str]:
            return [one.name[-1] for one in await store.get_templates(OURS, AGENT, scope, *ids)]  # type: ignore[arg-type]

        assert await found() == ["0", "1", "2", "3"]
        assert await found(Scope.GLOBAL) == ["0"]
        assert await found(Scope.SCENARIO) == ["1", "2"]
        assert await found(Scope.SCENARIO, SCENARIO) == ["1"]
        assert await found(Scope.STEP, SCENARIO) == ["3"]
        assert await found(Scope.STEP, STEP) == []

    @requirement("CONFIG-053", since="1.0")
    async def test_template_invariants(self, store: ConfigStore) -> None:
        """A template has a scope id exactly when it is not global (INV-R1), and a text.

        If this fails: the model does not check, or the store trusts an object that was changed behind the model.
        """
        for fields in ({"scope": Scope.STEP}, {"scope_id": STEP}, {"content": ""}):
            with pytest.raises(ValidationError):
                template(0, **fields)
            broken = template(0)
            broken.__dict__.update(fields)
            with pytest.raises(InvalidDataError):
                await store.save_template(broken)
        assert await store.get_templates(OURS, AGENT) == []
