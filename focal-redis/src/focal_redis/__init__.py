"""focal-redis: two-tier sessions on Redis, and a cache in front of any profile store.

The backend is found by its entry point ``redis``.
"""
