"""focal-postgres: every store of focal on PostgreSQL with pgvector.

This version registers no backend yet; see the README.
"""
