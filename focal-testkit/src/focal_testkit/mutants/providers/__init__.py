"""Broken providers."""
