"""Broken profile stores."""
