"""Config stores that break a rule about rules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule, Scope
from focal_core.errors import FocalError, InvalidDataError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-010")
class RuleNeedsItsAgent(InMemoryConfigStore):
    """A rule is refused before its agent."""

    async def save_rule(self, rule: Rule) -> UUID:
        if self._agents.get(rule.tenant_id, rule.agent_id) is None:
            raise InvalidDataError("no such agent")
        return await super().save_rule(rule)


@mutant("CONFIG-011")
class AddsGlobalRules(InMemoryConfigStore):
    """A list by scope holds the global rules as well."""

    async def get_rules(
        self, tenant_id: UUID, agent_id: UUID, scope: Any = None, scope_id: Any = None, *options: Any, **paging: Any
    ) -> Page[Rule]:
        found = await super().get_rules(tenant_id, agent_id, scope, scope_id, *options, **paging)
        everywhere = await super().get_rules(tenant_id, agent_id, Scope.GLOBAL) if scope else []
        return Page([*found, *everywhere])


@mutant("CONFIG-012", "STORE-001")
class ListsEveryTenantsRules(InMemoryConfigStore):
    """Rules are listed by agent alone."""

    async def get_rules(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Rule]:
        pages = [await super(ListsEveryTenantsRules, self).get_rules(one, *filters) for one in self._rules.tenants()]
        return Page(rule for page in pages for rule in page)


@mutant("CONFIG-013", "CONFIG-088")
class RemovesRules(InMemoryConfigStore):
    """A deleted rule is removed for good."""

    async def delete_rule(self, tenant_id: UUID, rule_id: UUID) -> bool:
        return self._rules.remove(tenant_id, rule_id) is not None


@mutant("CONFIG-013", "CONFIG-086")
class ListsDeletedRules(InMemoryConfigStore):
    """Deleted rules are listed."""

    async def get_rules(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Rule]:
        return Page(self._rules.rows(tenant_id))


@mutant("CONFIG-014")
class UpdateForgetsBindings(InMemoryConfigStore):
    """An update of a rule does not write its tool bindings."""

    async def save_rule(self, rule: Rule) -> UUID:
        stored = self._rules.get(rule.tenant_id, rule.id)
        saved = await super().save_rule(rule)
        if stored is not None:
            self._rules.get(rule.tenant_id, rule.id).set_stored(tool_bindings=stored.tool_bindings)  # type: ignore[union-attr]
        return saved


@mutant("CONFIG-015")
class PriorityAsText(InMemoryConfigStore):
    """Priorities are compared as text."""

    async def get_rules(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Rule]:
        page = await super().get_rules(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda rule: str(rule.priority), reverse=True), page.next_cursor)


@mutant("CONFIG-015")
class EqualRulesById(InMemoryConfigStore):
    """Rules of one priority are listed by id."""

    async def get_rules(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Rule]:
        page = await super().get_rules(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda rule: (-rule.priority, rule.id)), page.next_cursor)


@mutant("CONFIG-016")
class MissingIdIsNull(InMemoryConfigStore):
    """A scope without an id finds rules without an id."""

    async def get_rules(
        self, tenant_id: UUID, agent_id: UUID, scope: Any = None, scope_id: Any = None, *options: Any, **paging: Any
    ) -> Page[Rule]:
        found = await super().get_rules(tenant_id, agent_id, scope, scope_id, *options, **paging)
        return Page(rule for rule in found if scope is None or rule.scope_id == scope_id)


@mutant("CONFIG-017")
class DropsALoneScopeId(InMemoryConfigStore):
    """A scope id without a scope is ignored."""

    async def get_rules(
        self, tenant_id: UUID, agent_id: UUID, scope: Any = None, scope_id: Any = None, *options: Any, **paging: Any
    ) -> Page[Rule]:
        return await super().get_rules(tenant_id, agent_id, scope, scope and scope_id, *options, **paging)


@mutant("CONFIG-018")
class ListsDisabledRules(InMemoryConfigStore):
    """Disabled rules are listed by default."""

    async def get_rules(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        enabled_only: bool = False,
        **paging: Any,
    ) -> Page[Rule]:
        return await super().get_rules(tenant_id, agent_id, scope, scope_id, False, **paging)


@mutant("CONFIG-018")
class HidesDisabledRules(InMemoryConfigStore):
    """Disabled rules are not found by their id."""

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        found = await super().get_rule(tenant_id, rule_id)
        return found if found and found.enabled else None


@mutant("CONFIG-019")
class TrustsRules(InMemoryConfigStore):
    """Rules are stored as they are."""

    async def save_rule(self, rule: Rule) -> UUID:
        self._rules.put(rule)
        return rule.id


@mutant("CONFIG-092")
class SortsTheIdsOfMany(InMemoryConfigStore):
    """The ids of rules saved together come sorted, each once."""

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        return sorted(set(await super().save_rules(rules)))


@mutant("CONFIG-092")
class LoadsWithoutVectors(InMemoryConfigStore):
    """Rules saved together lose their vectors."""

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        for rule in rules:
            rule.__dict__.update(condition_embedding=None, condition_embedding_model=None)
        return await super().save_rules(rules)


@mutant("CONFIG-093")
class LoadsOverEverything(InMemoryConfigStore):
    """Rules saved together replace what is stored, whatever version they expect."""

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        for rule in rules:
            rule.__dict__.update(row_version=0)
        return await super().save_rules(rules)


@mutant("CONFIG-093")
class LoadsWhatFits(InMemoryConfigStore):
    """Of rules saved together those that would be refused are left out without a word."""

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        for rule in rules:
            with suppress(FocalError):
                await self.save_rule(rule)
        return [rule.id for rule in rules]
