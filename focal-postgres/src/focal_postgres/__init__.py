"""focal-postgres."""
