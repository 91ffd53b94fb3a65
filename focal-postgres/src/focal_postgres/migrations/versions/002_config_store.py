"""Agents, rules, scenarios, templates, variables and tool activations."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "002_config_store"
down_revision = "001_initial_schema"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables(
        "rule_vectors", "scenario_vectors", "rules", "scenarios", "templates", "variables", "tool_activations", "agents"
    )
