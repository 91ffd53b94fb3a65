"""focal-core: the contracts, models, registry and in-memory reference of focal."""
