"""The plugin mechanism: backends by entry point, hooks by pluggy."""
