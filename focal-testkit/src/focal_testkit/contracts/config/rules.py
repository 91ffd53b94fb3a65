"""Rules: saved whole, listed by priority, filtered by scope."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.config.models import Rule, Scope, ToolBinding, ToolWhen
from focal_core.config.store import ConfigStore
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.config import (
    AGENT,
    OTHER_AGENT,
    OTHER_SCENARIO,
    QUERY,
    SCENARIO,
    START,
    STEP,
    at,
    near,
    numbered,
    rule,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def save_scopes(store: ConfigStore) -> None:
    """Save rules 0 to 3: global, of a scenario, of another scenario, of a step; and a neighbour's."""
    await store.save_rule(near(0, 0.8))
    await store.save_rule(near(1, 0.6, scope="scenario", scope_id=SCENARIO))
    await store.save_rule(near(2, 0.0, scope="scenario", scope_id=OTHER_SCENARIO))
    await store.save_rule(near(3, 1.0, scope="step", scope_id=STEP))
    await store.save_rule(near(1, 1.0, tenant=THEIRS, scope="scenario", scope_id=SCENARIO))
    await store.save_rule(near(4, 1.0, agent_id=OTHER_AGENT, scope="scenario", scope_id=SCENARIO))


class RuleContract(ContractBase):
    """``save_rule``, ``save_rules``, ``get_rule``, ``get_rules`` and ``delete_rule``."""

    @requirement("CONFIG-010", since="1.0")
    async def test_save_and_get_rule(self, store: ConfigStore) -> None:
        """A saved rule is found by its id; no agent need be saved first.

        If this fails: the rule is not stored, or a foreign key asks for its agent.
        """
        saved = rule(3)
        await store.save_rule(rule(3, tenant=THEIRS, name="theirs"))

        assert await store.save_rule(saved) == saved.id

        assert await store.get_rule(OURS, saved.id) == saved
        assert await store.get_rule(OURS, numbered(99)) is None

    @requirement("CONFIG-011", since="1.0")
    async def test_get_rules_by_scope(self, store: ConfigStore) -> None:
        """A scope filter finds exactly the rules of that scope and id, not what else applies there.

        If this fails: the filter is ignored, or global rules are added to it.
        """
        await save_scopes(store)

        found = {
            (scope, scope_id): [one.id for one in await store.get_rules(OURS, AGENT, scope, scope_id)]
            for scope, scope_id in (
                (Scope.GLOBAL, None),
                (Scope.SCENARIO, SCENARIO),
                (Scope.STEP, STEP),
                (Scope.STEP, SCENARIO),
                (Scope.GLOBAL, SCENARIO),
            )
        }

        assert list(found.values()) == [[rule(0).id], [rule(1).id], [rule(3).id], [], []]

    @requirement("CONFIG-012", since="1.0")
    async def test_tenant_isolation_rules(self, store: ConfigStore) -> None:
        """The rules of an agent are those of the tenant that asks, under whatever agent id.

        If this fails: the tenant is not part of the list's statement.
        """
        await store.save_rule(rule(0))
        await store.save_rule(rule(1, tenant=THEIRS))
        await store.save_rule(rule(2, agent_id=OTHER_AGENT))

        ours, theirs = await store.get_rules(OURS, AGENT), await store.get_rules(THEIRS, AGENT)

        assert [one.id for one in ours] == [rule(0).id]
        assert [one.id for one in theirs] == [rule(1).id]

    @requirement("CONFIG-013", since="1.0")
    async def test_soft_delete_rule(self, store: ConfigStore) -> None:
        """A deleted rule is in no get, list or search; its row stays and is not replaced by a plain save.

        If this fails: one of the reads does not ask for deleted_at, or the row is removed.
        """
        await store.save_rule(near(0, 1.0))
        await store.save_rule(near(1, 0.8))

        assert await store.delete_rule(OURS, rule(0).id) is True

        assert await store.get_rule(OURS, rule(0).id) is None
        assert [one.id for one in await store.get_rules(OURS, AGENT, enabled_only=False)] == [rule(1).id]
        searched = await store.vector_search_rules(QUERY, OURS, AGENT, include_disabled=True)
        assert [one.id for one, _ in searched] == [rule(1).id]
        with pytest.raises(ConflictError):
            await store.save_rule(near(0, 1.0))

    @requirement("CONFIG-014", since="1.0")
    async def test_rule_all_fields_survive(self, store: ConfigStore) -> None:
        """Every field of a rule comes back as it was saved, in get, list and search alike, also after an update.

        If this fails: a field has no place in the store, or the update leaves it out.
        """
        await store.save_rule(rule(0))
        given = rule(
            0,
            description="",
            condition_embedding=at(0.8),
            condition_embedding_model="m",
            action_type="webhook",
            action_text=None,
            action_config={"url": "https://example.org/?a=1", "retries": [1, 2.0, None, True]},
            scope="STEP",
            scope_id=STEP,
            priority=-100,
            max_fires_per_session=2,
            cooldown_turns=3,
            is_hard_constraint=True,
            enforcement_expression="amount <= 100",
            tool_bindings=[ToolBinding(tool_id="t", when=ToolWhen.AFTER_STEP, depends_on=["u", "t"])],
            attached_tool_ids=["b", "a", "b"],
            attached_template_ids=[numbered(2), numbered(1)],
        )
        await store.save_rule(given)

        assert await store.get_rule(OURS, given.id) == given
        assert await store.get_rules(OURS, AGENT) == [given]
        assert [one for one, _ in await store.vector_search_rules(QUERY, OURS, AGENT)] == [given]

    @requirement("CONFIG-015", since="1.0")
    async def test_rules_order_priority(self, store: ConfigStore) -> None:
        """Rules come by priority from high to low, then by created_at, then by id.

        If this fails: priorities are compared as text, or ties are in the order of saving.
        """
        later = START + timedelta(hours=1)
        for n, priority, created_at in (
            (6, 9, START),
            (1, 9, later),
            (5, 9, START),
            (4, -5, START),
            (3, 10, later),
            (2, -40, START),
            (7, 0, START),
        ):
            await store.save_rule(rule(n, priority=priority, created_at=created_at))
        await store.save_rule(rule(0, tenant=THEIRS, priority=50))

        found = await store.get_rules(OURS, AGENT)

        assert [one.id for one in found] == [rule(n).id for n in (3, 5, 6, 1, 7, 4, 2)]

    @requirement("CONFIG-016", since="1.0")
    async def test_scope_without_id(self, store: ConfigStore) -> None:
        """A scope without an id finds all rules of that scope; no scope finds the rules of every scope.

        If this fails: a missing id is compared with NULL.
        """
        await save_scopes(store)

        scenarios = await store.get_rules(OURS, AGENT, Scope.SCENARIO)
        everything = await store.get_rules(OURS, AGENT)

        assert [one.id for one in scenarios] == [rule(1).id, rule(2).id]
        assert [one.id for one in everything] == [rule(n).id for n in range(4)]

    @requirement("CONFIG-017", since="1.0")
    async def test_scope_id_without_scope(self, store: ConfigStore) -> None:
        """A scope id without a scope is refused, in lists of rules and templates and in searches.

        If this fails: the filter is dropped in silence, and everything is returned.
        """
        await save_scopes(store)

        with pytest.raises(InvalidDataError):
            await store.get_rules(OURS, AGENT, scope_id=SCENARIO)
        with pytest.raises(InvalidDataError):
            await store.get_templates(OURS, AGENT, scope_id=SCENARIO)
        with pytest.raises(InvalidDataError):
            await store.vector_search_rules(QUERY, OURS, AGENT, scope_id=SCENARIO)

    @requirement("CONFIG-018", since="1.0")
    async def test_disabled_rules_on_request(self, store: ConfigStore) -> None:
        """Disabled rules are left out of a list unless asked for, and are always found by their id.

        If this fails: the default is the wrong way round, or get looks at enabled.
        """
        await store.save_rule(rule(0))
        disabled = rule(1, enabled=False)
        await store.save_rule(disabled)

        assert [one.id for one in await store.get_rules(OURS, AGENT)] == [rule(0).id]
        assert len(await store.get_rules(OURS, AGENT, enabled_only=False)) == 2
        assert await store.get_rule(OURS, disabled.id) == disabled

    @requirement("CONFIG-019", since="1.0")
    async def test_rule_invariants(self, store: ConfigStore) -> None:
        """A rule has a scope id exactly when it is not global (INV-R1), a text when it acts by text (INV-R2), and an
        enforcement expression only as a hard constraint (INV-R3).

        If this fails: the model does not check, or the store trusts an object that was changed behind the model.
        """
        wrong: list[dict[str, Any]] = [
            {"scope": Scope.STEP},
            {"scope_id": STEP},
            {"action_text": None},
            {"enforcement_expression": "x > 1"},
            {"priority": 101},
            {"priority": -101},
        ]
        for fields in wrong:
            with pytest.raises(ValidationError):
                rule(0, **fields)
            broken = rule(0)
            broken.__dict__.update(fields)
            with pytest.raises(InvalidDataError):
                await store.save_rule(broken)
        assert await store.get_rules(OURS, AGENT) == []
        assert Rule(**{**rule(0).model_dump(), "scope_id": STEP, "scope": "Step"}).scope is Scope.STEP

    @requirement("CONFIG-092", since="1.0")
    async def test_save_rules(self, store: ConfigStore) -> None:
        """Rules saved together are each stored as if saved alone; their ids come in the order given.

        If this fails: the way of many loses a field, a vector or a version that the way of one keeps, or sorts the ids.
        """
        first = near(2, 0.8)
        await store.save_rule(first)
        first.name = "renamed"
        rows = [near(5, 1.0, priority=3), first, rule(1, attached_tool_ids=["t"]), rule(1, tenant=THEIRS)]

        assert await store.save_rules(rows) == [row.id for row in rows]

        assert [row.row_version for row in rows] == [1, 2, 1, 1]
        for row in rows:
            assert await store.get_rule(row.tenant_id, row.id) == row
        assert [one.id for one in await store.get_rules(OURS, AGENT)] == [rule(n).id for n in (5, 1, 2)]
        found = await store.vector_search_rules(QUERY, OURS, AGENT)
        assert [one.name for one, _ in found] == [rows[0].name, "renamed"]
        assert await store.save_rules([]) == []
        assert await store.save_rules([rule(7), rule(7, name="last")]) == [rule(7).id] * 2
        last = await store.get_rule(OURS, rule(7).id)
        assert last is not None
        assert last.name == "last"

    @requirement("CONFIG-093", since="1.0")
    async def test_save_rules_refuses(self, store: ConfigStore) -> None:
        """One rule that save_rule would refuse makes save_rules refuse, and is left as it is stored.

        If this fails: a bulk load writes over what somebody else has saved, or drops a rule without a word.
        """
        stale, deleted = rule(0), rule(1)
        await store.save_rules([stale, deleted])
        await store.save_rule(rule(0, name="newer"))
        await store.delete_rule(OURS, deleted.id)
        broken = rule(2)
        broken.__dict__["priority"] = 101
        stale.name = "older"

        for refused, error in ((stale, StaleVersionError), (rule(1), ConflictError), (broken, InvalidDataError)):
            with pytest.raises(error):
                await store.save_rules([rule(3), refused, rule(4)])

        found = await store.get_rule(OURS, stale.id)
        assert found is not None
        assert found.name == "newer"
        assert await store.get_rule(OURS, deleted.id) is None
        assert await store.get_rule(OURS, broken.id) is None
