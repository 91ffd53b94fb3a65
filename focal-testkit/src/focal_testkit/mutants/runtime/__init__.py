"""Broken runtime stores."""
