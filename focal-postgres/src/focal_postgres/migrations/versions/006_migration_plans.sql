CREATE TABLE {schema}.migration_plans (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	scenario_id UUID NOT NULL,
	from_version BIGINT NOT NULL,
	to_version BIGINT NOT NULL,
	status TEXT COLLATE "C" DEFAULT 'draft' NOT NULL,
	transformation_map JSONB NOT NULL,
	anchor_policies JSONB DEFAULT '{}' NOT NULL,
	scope_filter JSONB,
	scenario_checksum_v1 TEXT COLLATE "C",
	scenario_checksum_v2 TEXT COLLATE "C",
	summary JSONB NOT NULL,
	created_by TEXT COLLATE "C",
	approved_by TEXT COLLATE "C",
	approved_at TIMESTAMP WITH TIME ZONE,
	deployed_at TIMESTAMP WITH TIME ZONE,
	expires_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_migration_plans PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_migration_plans_status CHECK (status IN ('draft', 'approved', 'deployed', 'superseded', 'rejected')),
	CONSTRAINT ck_migration_plans_versions CHECK (from_version < to_version)
);

CREATE INDEX ix_migration_plans_status ON {schema}.migration_plans (tenant_id, status, created_at);

CREATE INDEX ix_migration_plans_versions ON {schema}.migration_plans (tenant_id, scenario_id, from_version, to_version);

CREATE TABLE {schema}.scenario_archives (
	tenant_id UUID NOT NULL,
	scenario_id UUID NOT NULL,
	version BIGINT NOT NULL,
	scenario_data JSONB NOT NULL,
	archived_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	digest BYTEA NOT NULL,
	CONSTRAINT pk_scenario_archives PRIMARY KEY (tenant_id, scenario_id, version)
);

CREATE INDEX ix_scenario_archives_archived_at ON {schema}.scenario_archives (tenant_id, archived_at);
