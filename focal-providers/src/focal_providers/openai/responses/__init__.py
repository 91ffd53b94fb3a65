"""OpenAI's own wire."""
