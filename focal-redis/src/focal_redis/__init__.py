"""focal-redis."""
