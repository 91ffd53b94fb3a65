"""focal-postgres: every store of focal on PostgreSQL with pgvector: config, memory, sessions, audit, profiles, with migrations that ship in the wheel and search that never under-returns.

This version registers no backend yet; see the README.
"""
