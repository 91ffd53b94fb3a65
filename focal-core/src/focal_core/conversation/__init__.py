"""Conversation state: sessions and channels."""
