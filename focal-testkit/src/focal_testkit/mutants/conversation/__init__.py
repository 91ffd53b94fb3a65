"""Broken session stores."""
