"""Broken audit stores."""
