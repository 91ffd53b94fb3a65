"""focal-redis: two-tier sessions on Redis, and a cache in front of any profile store.

This version registers no backend yet; see the README.
"""
