"""The revisions of the schema, oldest first, known without importing Alembic."""

REVISIONS = (
    "001_initial_schema",
    "002_config_store",
    "003_memory_store",
    "004_audit_store",
    "005_profile_store",
    "006_migration_plans",
    "007_vector_indexes",
    "008_profile_schema",
    "009_sessions",
    "010_row_level_security",
)
"""What this release builds and reads; the last one is what a store needs."""
