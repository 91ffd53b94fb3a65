"""focal-providers."""
