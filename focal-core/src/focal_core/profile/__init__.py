"""Customer profiles: fields, assets, lineage, schema, requirements."""
