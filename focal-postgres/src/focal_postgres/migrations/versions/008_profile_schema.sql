CREATE TABLE {schema}.profile_field_definitions (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	display_name TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C",
	value_type TEXT COLLATE "C" DEFAULT 'string' NOT NULL,
	validation_regex TEXT COLLATE "C",
	validation_tool_id TEXT COLLATE "C",
	allowed_values JSONB,
	validation_mode TEXT COLLATE "C" DEFAULT 'strict' NOT NULL,
	required_verification BOOLEAN DEFAULT false NOT NULL,
	verification_methods TEXT[] COLLATE "C" DEFAULT '{}' NOT NULL,
	collection_prompt TEXT COLLATE "C",
	extraction_examples JSONB DEFAULT '[]' NOT NULL,
	extraction_prompt_hint TEXT COLLATE "C",
	is_pii BOOLEAN DEFAULT false NOT NULL,
	encryption_required BOOLEAN DEFAULT false NOT NULL,
	retention_days BIGINT,
	freshness_seconds BIGINT,
	scope TEXT COLLATE "C" DEFAULT 'identity' NOT NULL,
	persist BOOLEAN DEFAULT true NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	CONSTRAINT pk_profile_field_definitions PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_profile_field_definitions_value_type CHECK (value_type IN ('string', 'email', 'phone', 'date', 'number', 'boolean', 'json')),
	CONSTRAINT ck_profile_field_definitions_validation_mode CHECK (validation_mode IN ('strict', 'warn', 'disabled')),
	CONSTRAINT ck_profile_field_definitions_scope CHECK (scope IN ('identity', 'business', 'case', 'session'))
);

CREATE UNIQUE INDEX uq_profile_field_definitions_name ON {schema}.profile_field_definitions (tenant_id, agent_id, name);

CREATE TABLE {schema}.scenario_field_requirements (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	scenario_id UUID NOT NULL,
	step_id UUID,
	rule_id UUID,
	field_name TEXT COLLATE "C" NOT NULL,
	required_level TEXT COLLATE "C" DEFAULT 'hard' NOT NULL,
	fallback_action TEXT COLLATE "C" DEFAULT 'ask' NOT NULL,
	when_condition TEXT COLLATE "C",
	depends_on_fields TEXT[] COLLATE "C" DEFAULT '{}' NOT NULL,
	collection_order BIGINT DEFAULT 0 NOT NULL,
	needs_human_review BOOLEAN DEFAULT false NOT NULL,
	extraction_confidence DOUBLE PRECISION DEFAULT 0.85 NOT NULL,
	CONSTRAINT pk_scenario_field_requirements PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_scenario_field_requirements_required_level CHECK (required_level IN ('hard', 'soft')),
	CONSTRAINT ck_scenario_field_requirements_fallback_action CHECK (fallback_action IN ('ask', 'skip', 'block', 'extract'))
);

CREATE INDEX ix_scenario_field_requirements_collection_order ON {schema}.scenario_field_requirements (tenant_id, scenario_id, collection_order, field_name, id);

CREATE UNIQUE INDEX uq_scenario_field_requirements_place ON {schema}.scenario_field_requirements (tenant_id, agent_id, scenario_id, COALESCE(step_id, '00000000-0000-0000-0000-000000000000'::uuid), COALESCE(rule_id, '00000000-0000-0000-0000-000000000000'::uuid), field_name);

CREATE TABLE {schema}.consents (
	tenant_id UUID NOT NULL,
	profile_id UUID NOT NULL,
	id UUID NOT NULL,
	consent_type TEXT COLLATE "C" NOT NULL,
	granted BOOLEAN NOT NULL,
	granted_at TIMESTAMP WITH TIME ZONE,
	revoked_at TIMESTAMP WITH TIME ZONE,
	source_session_id UUID,
	ip_address TEXT COLLATE "C",
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT pk_consents PRIMARY KEY (tenant_id, id),
	CONSTRAINT fk_consents_profile_id FOREIGN KEY(tenant_id, profile_id) REFERENCES {schema}.customer_profiles (tenant_id, id)
);

CREATE INDEX ix_consents_consent_type ON {schema}.consents (tenant_id, profile_id, consent_type, created_at DESC);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {schema}.consents FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {schema}.consents FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

CREATE FUNCTION {schema}.erase_consents(tenant uuid, profile uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_consents AS (DELETE FROM {schema}.consents WHERE tenant_id = tenant AND profile_id = profile RETURNING 1) SELECT (SELECT count(*) FROM from_consents) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$$;

REVOKE ALL ON FUNCTION {schema}.erase_consents(uuid, uuid) FROM PUBLIC;

CREATE FUNCTION {schema}.erase_tenant_profiles(tenant uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_consents AS (DELETE FROM {schema}.consents WHERE tenant_id = tenant RETURNING 1), from_channel_identities AS (DELETE FROM {schema}.channel_identities WHERE tenant_id = tenant RETURNING 1), from_profile_fields AS (DELETE FROM {schema}.profile_fields WHERE tenant_id = tenant RETURNING 1), from_profile_assets AS (DELETE FROM {schema}.profile_assets WHERE tenant_id = tenant RETURNING 1), from_customer_profiles AS (DELETE FROM {schema}.customer_profiles WHERE tenant_id = tenant RETURNING 1), from_profile_field_definitions AS (DELETE FROM {schema}.profile_field_definitions WHERE tenant_id = tenant RETURNING 1), from_scenario_field_requirements AS (DELETE FROM {schema}.scenario_field_requirements WHERE tenant_id = tenant RETURNING 1) SELECT (SELECT count(*) FROM from_consents) + (SELECT count(*) FROM from_channel_identities) + (SELECT count(*) FROM from_profile_fields) + (SELECT count(*) FROM from_profile_assets) + (SELECT count(*) FROM from_customer_profiles) + (SELECT count(*) FROM from_profile_field_definitions) + (SELECT count(*) FROM from_scenario_field_requirements) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$$;

REVOKE ALL ON FUNCTION {schema}.erase_tenant_profiles(uuid) FROM PUBLIC;
