"""Broken memory stores."""
