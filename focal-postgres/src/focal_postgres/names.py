"""Columns that are named otherwise than the fields of their models; stores and schema read it here."""

PROFILE_PARTS = ("channel_identities", "fields", "field_history", "assets", "asset_history", "consents")
"""Fields of a profile that are tables of their own."""
FIELD_COLUMNS = {"name": "field_name", "value": "field_value"}
ASSET_COLUMNS = {"storage_path": "asset_reference"}
IDENTITY_COLUMNS = {"primary": "is_primary"}
