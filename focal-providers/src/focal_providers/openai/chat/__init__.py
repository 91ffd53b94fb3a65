"""Chat Completions, which most compatible servers speak."""
