"""Names that stores and schema share, such as those of columns that differ from the fields of their models."""

PROFILE_PARTS = ("channel_identities", "fields", "field_history", "assets", "asset_history", "consents")
"""Fields of a profile that are tables of their own."""
FIELD_COLUMNS = {"name": "field_name", "value": "field_value"}
ASSET_COLUMNS = {"storage_path": "asset_reference"}
IDENTITY_COLUMNS = {"primary": "is_primary"}

TENANT_SETTING = "focal.tenant_id"
"""What a transaction sets to the tenant it speaks for, where row-level security is on."""

POLICY = "tenant"
"""Name of the row-level security policy of each table that has a tenant."""
