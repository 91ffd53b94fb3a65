"""Broken stores for the checks that are generated for every port; the audit and config stores stand for all."""
