"""Runtime storage: sessions, conversations, checkpoints, task context, permanent archive."""
