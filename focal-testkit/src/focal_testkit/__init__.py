"""focal-testkit."""
