CREATE TABLE {schema}.customer_profiles (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	customer_id UUID NOT NULL,
	external_id TEXT COLLATE "C",
	verification_level TEXT COLLATE "C" DEFAULT 'unverified' NOT NULL,
	last_interaction_at TIMESTAMP WITH TIME ZONE,
	merged_into_id UUID,
	CONSTRAINT pk_customer_profiles PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_customer_profiles_verification_level CHECK (verification_level IN ('unverified', 'email_verified', 'phone_verified', 'document_verified', 'kyc_complete')),
	CONSTRAINT ck_customer_profiles_merged CHECK (merged_into_id IS NULL OR deleted_at IS NOT NULL),
	CONSTRAINT fk_customer_profiles_merged_into_id FOREIGN KEY(tenant_id, merged_into_id) REFERENCES {schema}.customer_profiles (tenant_id, id)
);

CREATE INDEX ix_customer_profiles_created_at ON {schema}.customer_profiles (tenant_id, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_customer_profiles_merged_into_id ON {schema}.customer_profiles (tenant_id, merged_into_id) WHERE merged_into_id IS NOT NULL;

CREATE UNIQUE INDEX uq_customer_profiles_customer_id ON {schema}.customer_profiles (tenant_id, customer_id);

CREATE UNIQUE INDEX uq_customer_profiles_external_id ON {schema}.customer_profiles (tenant_id, external_id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE {schema}.channel_identities (
	tenant_id UUID NOT NULL,
	profile_id UUID NOT NULL,
	id UUID NOT NULL,
	channel TEXT COLLATE "C" NOT NULL,
	channel_user_id TEXT COLLATE "C" NOT NULL,
	verified BOOLEAN DEFAULT false NOT NULL,
	verified_at TIMESTAMP WITH TIME ZONE,
	is_primary BOOLEAN DEFAULT false NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT pk_channel_identities PRIMARY KEY (tenant_id, id),
	CONSTRAINT fk_channel_identities_profile_id FOREIGN KEY(tenant_id, profile_id) REFERENCES {schema}.customer_profiles (tenant_id, id)
);

CREATE INDEX ix_channel_identities_profile_id ON {schema}.channel_identities (tenant_id, profile_id, created_at, id);

CREATE UNIQUE INDEX uq_channel_identities_account ON {schema}.channel_identities (tenant_id, channel, channel_user_id);

CREATE UNIQUE INDEX uq_channel_identities_primary ON {schema}.channel_identities (tenant_id, profile_id, channel) WHERE is_primary;

CREATE TABLE {schema}.profile_fields (
	tenant_id UUID NOT NULL,
	profile_id UUID NOT NULL,
	id UUID NOT NULL,
	source_item_id UUID,
	source_item_type TEXT COLLATE "C",
	source_metadata JSONB DEFAULT '{}' NOT NULL,
	status TEXT COLLATE "C" DEFAULT 'active' NOT NULL,
	superseded_by_id UUID,
	superseded_at TIMESTAMP WITH TIME ZONE,
	expires_at TIMESTAMP WITH TIME ZONE,
	field_name TEXT COLLATE "C" NOT NULL,
	field_value JSONB NOT NULL,
	value_type TEXT COLLATE "C" DEFAULT 'string' NOT NULL,
	source TEXT COLLATE "C" DEFAULT 'user_provided' NOT NULL,
	source_session_id UUID,
	source_scenario_id UUID,
	source_step_id UUID,
	verified BOOLEAN DEFAULT false NOT NULL,
	verification_method TEXT COLLATE "C",
	verified_at TIMESTAMP WITH TIME ZONE,
	verified_by TEXT COLLATE "C",
	confidence DOUBLE PRECISION DEFAULT 1.0 NOT NULL,
	requires_confirmation BOOLEAN DEFAULT false NOT NULL,
	collected_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	field_definition_id UUID,
	CONSTRAINT pk_profile_fields PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_profile_fields_source_item_type CHECK (source_item_type IN ('profile_field', 'profile_asset', 'session', 'tool', 'external')),
	CONSTRAINT ck_profile_fields_status CHECK (status IN ('active', 'superseded', 'expired', 'orphaned')),
	CONSTRAINT ck_profile_fields_value_type CHECK (value_type IN ('string', 'email', 'phone', 'date', 'number', 'boolean', 'json')),
	CONSTRAINT ck_profile_fields_source CHECK (source IN ('user_provided', 'llm_extracted', 'tool_result', 'document_extracted', 'human_entered', 'system_inferred')),
	CONSTRAINT fk_profile_fields_profile_id FOREIGN KEY(tenant_id, profile_id) REFERENCES {schema}.customer_profiles (tenant_id, id)
);

CREATE INDEX ix_profile_fields_expires_at ON {schema}.profile_fields (tenant_id, expires_at) WHERE status = 'active' AND expires_at IS NOT NULL;

CREATE INDEX ix_profile_fields_field_name ON {schema}.profile_fields (tenant_id, profile_id, field_name, collected_at DESC, id DESC);

CREATE INDEX ix_profile_fields_source_item_id ON {schema}.profile_fields (tenant_id, source_item_id) WHERE source_item_id IS NOT NULL;

CREATE UNIQUE INDEX uq_profile_fields_active_name ON {schema}.profile_fields (tenant_id, profile_id, field_name) WHERE status = 'active';

CREATE TABLE {schema}.profile_assets (
	tenant_id UUID NOT NULL,
	profile_id UUID NOT NULL,
	id UUID NOT NULL,
	source_item_id UUID,
	source_item_type TEXT COLLATE "C",
	source_metadata JSONB DEFAULT '{}' NOT NULL,
	status TEXT COLLATE "C" DEFAULT 'active' NOT NULL,
	superseded_by_id UUID,
	superseded_at TIMESTAMP WITH TIME ZONE,
	expires_at TIMESTAMP WITH TIME ZONE,
	asset_type TEXT COLLATE "C" NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	storage_provider TEXT COLLATE "C" DEFAULT 'external' NOT NULL,
	asset_reference TEXT COLLATE "C" NOT NULL,
	mime_type TEXT COLLATE "C",
	size_bytes BIGINT,
	checksum TEXT COLLATE "C",
	metadata JSONB DEFAULT '{}' NOT NULL,
	uploaded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	uploaded_in_session_id UUID,
	uploaded_in_scenario_id UUID,
	derived_from_tool TEXT COLLATE "C",
	verified BOOLEAN DEFAULT false NOT NULL,
	verification_result JSONB,
	retention_policy TEXT COLLATE "C" DEFAULT 'permanent' NOT NULL,
	analysis_field_ids UUID[] DEFAULT '{}' NOT NULL,
	CONSTRAINT pk_profile_assets PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_profile_assets_source_item_type CHECK (source_item_type IN ('profile_field', 'profile_asset', 'session', 'tool', 'external')),
	CONSTRAINT ck_profile_assets_status CHECK (status IN ('active', 'superseded', 'expired', 'orphaned')),
	CONSTRAINT fk_profile_assets_profile_id FOREIGN KEY(tenant_id, profile_id) REFERENCES {schema}.customer_profiles (tenant_id, id)
);

CREATE INDEX ix_profile_assets_asset_type ON {schema}.profile_assets (tenant_id, profile_id, asset_type);

CREATE INDEX ix_profile_assets_expires_at ON {schema}.profile_assets (tenant_id, expires_at) WHERE status = 'active' AND expires_at IS NOT NULL;

CREATE INDEX ix_profile_assets_name ON {schema}.profile_assets (tenant_id, profile_id, name, uploaded_at DESC, id DESC);

CREATE INDEX ix_profile_assets_source_item_id ON {schema}.profile_assets (tenant_id, source_item_id) WHERE source_item_id IS NOT NULL;
