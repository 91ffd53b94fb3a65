"""Text search over the episodes of a group."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.memory import GROUP, HOUR, OTHER_GROUP, QUERY, START, at, episode
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def _add(store: MemoryStore, *contents: str, **fields: Any) -> None:
    for n, content in enumerate(contents):
        await store.add_episode(episode(n, content=content, **fields))


async def _texts(store: MemoryStore, query: str, **options: Any) -> set[str]:
    found = await store.text_search_episodes(query, GROUP, **{"tenant_id": OURS, **options})
    return {one.content for one in found}


class TextSearchContract(ContractBase):
    """``text_search_episodes``."""

    @requirement("MEMORY-040", since="1.0")
    async def test_text_search_episodes(self, store: MemoryStore) -> None:
        """Episodes whose content has the word are found, others are not.

        If this fails: text is not searched, or everything matches.
        """
        await _add(store, "the refund was refused", "a new order", "refund, please", "we refused")

        assert await _texts(store, "refund") == {"the refund was refused", "refund, please"}
        assert await _texts(store, "cancelled") == set()

    @requirement("MEMORY-041", since="1.0")
    async def test_group_isolation_episodes(self, store: MemoryStore) -> None:
        """No search leaves its group, even for a group whose label begins alike.

        If this fails: the group is compared as a prefix or a pattern, or not at all.
        """
        groups = [GROUP, OTHER_GROUP, "session:1%", "session_10"]
        for n, group in enumerate(groups):
            await store.add_episode(episode(n, group_id=group, content="needle", embedding=at(1.0)))

        for n, group in enumerate(groups):
            expected = [episode(n).id]
            by_text = await store.text_search_episodes("needle", group, tenant_id=OURS)
            by_vector = await store.vector_search_episodes(QUERY, group, tenant_id=OURS)
            by_both = await store.search_episodes("needle", QUERY, group_ids=[group], tenant_id=OURS)
            listed = await store.list_episodes(group, tenant_id=OURS)
            assert [one.id for one in by_text] == expected
            assert [one.id for one, _ in by_vector] == expected
            assert [hit.item.id for hit in by_both] == expected
            assert [one.id for one in listed] == expected

    @requirement("MEMORY-042", since="1.0")
    async def test_text_search_literal_wildcards(self, store: MemoryStore) -> None:
        """No character of a query has a pattern's meaning.

        If this fails: the query reaches a pattern match or a query language unescaped.
        """
        contents = [
            "100% sure",
            "100 sure",
            "a_b here",
            "axb here",
            "what? (yes)",
            "yes what",
            "it's \\d+",
            "digits 12",
        ]
        await _add(store, *contents)

        assert await _texts(store, "100%") == {"100% sure"}
        assert await _texts(store, "%") <= {"100% sure"}
        assert await _texts(store, "a_b") == {"a_b here"}
        assert await _texts(store, "what? (yes)") == {"what? (yes)"}
        assert await _texts(store, "\\d+") == {"it's \\d+"}
        for operator in ("*", "sure & here", "sure | here", "!sure", "-sure", '"a_b', "NOT", "sure OR here", ".*"):
            assert await _texts(store, operator) == set()

    @requirement("MEMORY-043", since="1.0")
    async def test_text_search_all_terms_any_order(self, store: MemoryStore) -> None:
        """Every term must occur; order, distance, repetition and the white space between them do not matter.

        If this fails: the terms are joined by "or", or taken as a phrase.
        """
        await _add(
            store, "red shoes in size ten", "red shirt in size ten", "shoes of red leather, size ten", "size ten"
        )

        assert await _texts(store, "ten red") == {
            "red shoes in size ten",
            "red shirt in size ten",
            "shoes of red leather, size ten",
        }
        assert await _texts(store, " shoes\t red \n shoes ") == {
            "red shoes in size ten",
            "shoes of red leather, size ten",
        }
        assert await _texts(store, "red shoes blue") == set()

    @requirement("MEMORY-044", since="1.0")
    async def test_text_search_blank(self, store: MemoryStore) -> None:
        """A blank query finds nothing.

        If this fails: no condition is taken for one that always holds.
        """
        await _add(store, "anything", " ")

        for blank in ("", " ", "\t\n"):
            assert await _texts(store, blank) == set()
            assert await store.search_episodes(blank, group_ids=[GROUP], tenant_id=OURS) == []

    @requirement("MEMORY-045", since="1.0")
    async def test_text_search_letter_case(self, store: MemoryStore) -> None:
        """Letter case does not matter, beyond ASCII neither.

        If this fails: the search is case-sensitive, or folds ASCII only.
        """
        await _add(store, "The REFUND for Zoë", "CAFÉ Ärger", "cafe")

        assert await _texts(store, "refund zoë") == {"The REFUND for Zoë"}
        assert await _texts(store, "ReFund ZOË") == {"The REFUND for Zoë"}
        assert await _texts(store, "café ÄRGER") == {"CAFÉ Ärger"}

    @requirement("MEMORY-046", since="1.0")
    async def test_text_search_ties_and_limit(self, store: MemoryStore) -> None:
        """Of equal contents the latest comes first, then the lower id; the limit cuts behind that order.

        If this fails: equally good episodes are in no order, or the oldest are returned.
        """
        for n in (2, 10, 5):
            await store.add_episode(episode(n, content="needle"))
        for n in (8, 6):
            await store.add_episode(episode(n, content="needle", occurred_at=START + timedelta(minutes=5)))
        await store.add_episode(episode(20, THEIRS, content="needle"))
        expected = [episode(n).id for n in (10, 5, 6, 8, 2)]

        async def found(limit: Any) -> list[UUID]:
            return [one.id for one in await store.text_search_episodes("needle", GROUP, limit, tenant_id=OURS)]

        assert await found(1000) == expected
        assert await found(3) == expected[:3]
        for limit in (0, 1001, None):
            with pytest.raises(InvalidDataError):
                await found(limit)

    @requirement("MEMORY-047", since="1.0")
    async def test_as_of_episode(self, store: MemoryStore, clock: ManualClock) -> None:
        """What is valid at as_of is found by text and by both, from valid_from on and before valid_to; None means now.

        If this fails: a bound is compared the wrong way, or the machine's clock is asked.
        """
        await store.add_episode(episode(0, content="needle", embedding=at(1.0), valid_to=START + HOUR))
        await store.add_episode(episode(1, content="needle", embedding=at(1.0), valid_from=START + HOUR))

        async def found(**options: Any) -> list[list[str]]:
            by_text = await store.text_search_episodes("needle", GROUP, tenant_id=OURS, **options)
            by_both = await store.search_episodes("needle", QUERY, group_ids=[GROUP], tenant_id=OURS, **options)
            return [[str(one.id) for one in by_text], [str(hit.item.id) for hit in by_both]]

        first, second = [str(episode(0).id)], [str(episode(1).id)]
        assert await found() == [second, second]
        assert await found(as_of=START) == [first, first]
        assert await found(as_of=START + HOUR) == [second, second]
        assert await found(as_of=START - timedelta(microseconds=1)) == [[], []]
        clock.set(START)
        assert await found() == [first, first]

    @requirement("MEMORY-048", since="1.0")
    async def test_found_episodes_are_copies(self, store: MemoryStore) -> None:
        """Changing an episode that a search returned does not change what is stored.

        If this fails: the search hands out the store's own objects.
        """
        await store.add_episode(episode(0, content="needle", embedding=at(1.0), metadata={"list": [1]}))
        by_text = await store.text_search_episodes("needle", GROUP, tenant_id=OURS)
        by_vector = await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS)
        by_either = [
            *await store.search_episodes("needle", group_ids=[GROUP], tenant_id=OURS),
            *await store.search_episodes(None, QUERY, group_ids=[GROUP], tenant_id=OURS),
        ]

        for one in (*by_text, *(row for row, _ in by_vector), *(hit.item for hit in by_either)):
            one.metadata["list"].append(2)

        stored = await store.get_episode(episode(0).id, tenant_id=OURS)
        assert stored is not None
        assert stored.metadata == {"list": [1]}
