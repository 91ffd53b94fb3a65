"""Broken config stores."""
