"""focal-postgres: every store of focal on PostgreSQL with pgvector.

The backend is found by its entry point, ``postgres``; see the README for its options.
"""
