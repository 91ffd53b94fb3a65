"""The kit itself: its catalogue, its generator, its blind operators."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from focal_core.audit.models import TurnRecord
from focal_testkit import catalogue
from focal_testkit.data.generate import instance
from focal_testkit.mutants.operators import sites
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, comes_to_nothing

ROOT = Path(__file__).parents[2]

SOURCE = '''
LIMIT = 3


class Store:
    """Docstrings are left alone: 1 == 2."""

    def find(self, rows, limit=5):
        """Not mutated: 1 == 2."""
        found = [row for row in rows if row.live and not row.old]
        if len(found) > limit:
            raise ValueError("1 == 2")
        return sorted(found)
'''


def test_catalogue_is_written_down() -> None:
    """docs/contract.md is what the kit checks, sentence by sentence."""
    written = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    assert written == catalogue.render(), "run: python -m focal_testkit.catalogue > docs/contract.md"


def test_requirement_ids_are_unique_and_well_formed() -> None:
    """An id is a group and three digits, or the name of a rule, and belongs to one test."""
    found = catalogue.requirements()
    assert len({one.test for one in found}) == len(found)
    # A number of the kit's own; a rule of the providers keeps the name it has there, such as R1 or S1b.
    assert all(re.fullmatch(r"[A-Z]+-(\d{3}|[A-Z]+\d*[a-z]?)", one.id) for one in found)
    with pytest.raises(ValueError):

        @requirement("AUDIT-001", since="1.0")
        async def test_other() -> None:
            """Another test under a taken id."""


def test_requirement_without_sentence_is_refused() -> None:
    """A test without docstring states no rule."""
    with pytest.raises(ValueError):

        @requirement("NONE-001", since="1.0")
        async def test_silent() -> None:
            pass


def test_generated_instances_are_full_minimal_and_repeatable() -> None:
    """Full sets every optional field, minimal none; one seed gives one instance."""
    full = instance(TurnRecord, full=True, tenant_id=OURS)
    assert full.model_fields_set == set(TurnRecord.model_fields)
    required = {name for name, info in TurnRecord.model_fields.items() if info.is_required()}
    assert instance(TurnRecord, full=False).model_fields_set == required
    assert full == instance(TurnRecord, full=True, tenant_id=OURS)
    assert full.id != instance(TurnRecord, full=True, tenant_id=OURS, seed=1).id


def test_blind_mutations_change_the_code_and_nothing_else() -> None:
    """Every mutation yields another valid program; docstrings, signatures and messages stay as they are."""
    found = sites(SOURCE)
    original = ast.unparse(ast.parse(SOURCE))
    mutated = [ast.unparse(site.apply(SOURCE)) for site in found]
    assert {site.kind for site in found} >= {"comparison", "and/or", "always", "never", "filter dropped", "unsorted"}
    assert len({str(site) for site in found}) == len(found)
    for text in mutated:
        assert text != original
        compile(text, "mutated", "exec")
        assert text.count("1 == 2") == (3 if "raise" in text else 2)
        assert "limit=5" in text
        assert "LIMIT = 3" in text


@pytest.mark.parametrize("result", [None, False, 0, [], {}, "", {"active": 0, "expired": 0}])
def test_nothing_is_recognised(result: object) -> None:
    assert comes_to_nothing(result)


@pytest.mark.parametrize("result", [True, 1, [0], {"active": 1}, object()])
def test_something_is_recognised(result: object) -> None:
    assert not comes_to_nothing(result)
