CREATE TABLE focal.agents (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    system_prompt text COLLATE "C",
    settings jsonb NOT NULL,
    current_version bigint DEFAULT 1 NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    default_model text COLLATE "C" GENERATED ALWAYS AS ((settings ->> 'model'::text)) STORED,
    CONSTRAINT pk_agents PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_agents_name_id ON focal.agents USING btree (tenant_id, name, id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX uq_agents_name ON focal.agents USING btree (tenant_id, name) WHERE (deleted_at IS NULL);
CREATE POLICY tenant ON focal.agents USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.audit_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    session_id uuid,
    turn_id uuid,
    event_type text COLLATE "C" NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    digest bytea NOT NULL,
    payload jsonb NOT NULL,
    CONSTRAINT pk_audit_events PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_audit_events_created_at ON focal.audit_events USING btree (tenant_id, created_at, id);
CREATE INDEX ix_audit_events_event_type ON focal.audit_events USING btree (tenant_id, event_type, created_at, id);
CREATE INDEX ix_audit_events_session_id ON focal.audit_events USING btree (tenant_id, session_id, created_at, id) WHERE (session_id IS NOT NULL);
CREATE INDEX ix_audit_events_turn_id ON focal.audit_events USING btree (tenant_id, turn_id, created_at, id) WHERE (turn_id IS NOT NULL);
CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON focal.audit_events FOR EACH ROW EXECUTE FUNCTION focal.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON focal.audit_events FOR EACH STATEMENT EXECUTE FUNCTION focal.refuse_change();
CREATE POLICY tenant ON focal.audit_events USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.channel_identities (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    id uuid NOT NULL,
    channel text COLLATE "C" NOT NULL,
    channel_user_id text COLLATE "C" NOT NULL,
    verified boolean DEFAULT false NOT NULL,
    verified_at timestamp with time zone,
    is_primary boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT fk_channel_identities_profile_id FOREIGN KEY (tenant_id, profile_id) REFERENCES focal.customer_profiles(tenant_id, id),
    CONSTRAINT pk_channel_identities PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_channel_identities_profile_id ON focal.channel_identities USING btree (tenant_id, profile_id, created_at, id);
CREATE UNIQUE INDEX uq_channel_identities_account ON focal.channel_identities USING btree (tenant_id, channel, channel_user_id);
CREATE UNIQUE INDEX uq_channel_identities_primary ON focal.channel_identities USING btree (tenant_id, profile_id, channel) WHERE is_primary;
CREATE POLICY tenant ON focal.channel_identities USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.consents (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    id uuid NOT NULL,
    consent_type text COLLATE "C" NOT NULL,
    granted boolean NOT NULL,
    granted_at timestamp with time zone,
    revoked_at timestamp with time zone,
    source_session_id uuid,
    ip_address text COLLATE "C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT fk_consents_profile_id FOREIGN KEY (tenant_id, profile_id) REFERENCES focal.customer_profiles(tenant_id, id),
    CONSTRAINT pk_consents PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_consents_consent_type ON focal.consents USING btree (tenant_id, profile_id, consent_type, created_at DESC);
CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON focal.consents FOR EACH ROW EXECUTE FUNCTION focal.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON focal.consents FOR EACH STATEMENT EXECUTE FUNCTION focal.refuse_change();
CREATE POLICY tenant ON focal.consents USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.customer_profiles (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    customer_id uuid NOT NULL,
    external_id text COLLATE "C",
    verification_level text COLLATE "C" DEFAULT 'unverified'::text NOT NULL,
    last_interaction_at timestamp with time zone,
    merged_into_id uuid,
    CONSTRAINT ck_customer_profiles_merged CHECK (((merged_into_id IS NULL) OR (deleted_at IS NOT NULL))),
    CONSTRAINT ck_customer_profiles_verification_level CHECK ((verification_level = ANY (ARRAY['unverified'::text, 'email_verified'::text, 'phone_verified'::text, 'document_verified'::text, 'kyc_complete'::text]))),
    CONSTRAINT fk_customer_profiles_merged_into_id FOREIGN KEY (tenant_id, merged_into_id) REFERENCES focal.customer_profiles(tenant_id, id),
    CONSTRAINT pk_customer_profiles PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_customer_profiles_created_at ON focal.customer_profiles USING btree (tenant_id, created_at, id) WHERE (deleted_at IS NULL);
CREATE INDEX ix_customer_profiles_merged_into_id ON focal.customer_profiles USING btree (tenant_id, merged_into_id) WHERE (merged_into_id IS NOT NULL);
CREATE UNIQUE INDEX uq_customer_profiles_customer_id ON focal.customer_profiles USING btree (tenant_id, customer_id);
CREATE UNIQUE INDEX uq_customer_profiles_external_id ON focal.customer_profiles USING btree (tenant_id, external_id) WHERE ((external_id IS NOT NULL) AND (deleted_at IS NULL));
CREATE POLICY tenant ON focal.customer_profiles USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.embedding_spaces (
    id integer GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    model text COLLATE "C" NOT NULL,
    dims integer NOT NULL,
    metric text COLLATE "C" DEFAULT 'cosine'::text NOT NULL,
    storage text COLLATE "C" DEFAULT 'halfvec'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_embedding_spaces_dims CHECK (((dims >= 1) AND (dims <= 16000))),
    CONSTRAINT ck_embedding_spaces_metric CHECK ((metric = 'cosine'::text)),
    CONSTRAINT ck_embedding_spaces_storage CHECK ((storage = ANY (ARRAY['halfvec'::text, 'vector'::text, 'exact'::text]))),
    CONSTRAINT pk_embedding_spaces PRIMARY KEY (id),
    CONSTRAINT uq_embedding_spaces_model_dims_metric UNIQUE (model, dims, metric)
);

CREATE TABLE focal.entities (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    group_id text COLLATE "C" NOT NULL,
    agent_id uuid,
    customer_profile_id uuid,
    name text COLLATE "C" NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    canonical_name text COLLATE "C",
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    embedding_model text COLLATE "C",
    embedding_space_id integer,
    CONSTRAINT ck_entities_embedding_space CHECK (((embedding_model IS NULL) = (embedding_space_id IS NULL))),
    CONSTRAINT fk_entities_embedding_space_id FOREIGN KEY (embedding_space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_entities PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_entities_created_at ON focal.entities USING btree (tenant_id, group_id, created_at, id);
CREATE INDEX ix_entities_entity_type ON focal.entities USING btree (tenant_id, group_id, entity_type, created_at, id);
CREATE INDEX ix_entities_name ON focal.entities USING btree (tenant_id, group_id, lower(name));
CREATE UNIQUE INDEX uq_entities_group_id_id ON focal.entities USING btree (tenant_id, group_id, id);
CREATE POLICY tenant ON focal.entities USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.entity_vectors (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    space_id integer NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    embedding vector NOT NULL,
    CONSTRAINT fk_entity_vectors_id FOREIGN KEY (tenant_id, id) REFERENCES focal.entities(tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_entity_vectors_space_id FOREIGN KEY (space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_entity_vectors PRIMARY KEY (tenant_id, id, space_id)
) WITH (toast_tuple_target=8160);
CREATE INDEX hnsw_entity_vectors_1 ON focal.entity_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 1);
CREATE INDEX hnsw_entity_vectors_2 ON focal.entity_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 2);
CREATE INDEX ix_entity_vectors_group_id ON focal.entity_vectors USING btree (tenant_id, group_id, space_id);
CREATE POLICY tenant ON focal.entity_vectors USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.episode_vectors (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    space_id integer NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    embedding vector NOT NULL,
    CONSTRAINT fk_episode_vectors_id FOREIGN KEY (tenant_id, id) REFERENCES focal.episodes(tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_episode_vectors_space_id FOREIGN KEY (space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_episode_vectors PRIMARY KEY (tenant_id, id, space_id)
) WITH (toast_tuple_target=8160);
CREATE INDEX hnsw_episode_vectors_1 ON focal.episode_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 1);
CREATE INDEX hnsw_episode_vectors_2 ON focal.episode_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 2);
CREATE INDEX ix_episode_vectors_group_id ON focal.episode_vectors USING btree (tenant_id, group_id, space_id);
CREATE POLICY tenant ON focal.episode_vectors USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.episodes (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    group_id text COLLATE "C" NOT NULL,
    agent_id uuid,
    customer_profile_id uuid,
    session_id uuid,
    content text COLLATE "C" NOT NULL,
    episode_type text COLLATE "C" DEFAULT 'message'::text NOT NULL,
    source text COLLATE "C" DEFAULT 'system'::text NOT NULL,
    source_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    importance double precision DEFAULT 0.5 NOT NULL,
    embedding_model text COLLATE "C",
    entity_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    occurred_at timestamp with time zone DEFAULT now() NOT NULL,
    embedding_space_id integer,
    content_folded text COLLATE "C" DEFAULT ''::text NOT NULL,
    content_tsv tsvector DEFAULT ''::tsvector NOT NULL,
    CONSTRAINT ck_episodes_embedding_space CHECK (((embedding_model IS NULL) = (embedding_space_id IS NULL))),
    CONSTRAINT ck_episodes_episode_type CHECK ((episode_type = ANY (ARRAY['message'::text, 'event'::text, 'fact'::text, 'document'::text, 'summary'::text, 'meta_summary'::text]))),
    CONSTRAINT ck_episodes_source CHECK ((source = ANY (ARRAY['user'::text, 'agent'::text, 'system'::text, 'external'::text]))),
    CONSTRAINT fk_episodes_embedding_space_id FOREIGN KEY (embedding_space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_episodes PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_episodes_agent_id ON focal.episodes USING btree (tenant_id, agent_id) WHERE (agent_id IS NOT NULL);
CREATE INDEX ix_episodes_content_tsv ON focal.episodes USING gin (content_tsv);
CREATE INDEX ix_episodes_customer_profile_id ON focal.episodes USING btree (tenant_id, customer_profile_id) WHERE (customer_profile_id IS NOT NULL);
CREATE INDEX ix_episodes_entity_ids ON focal.episodes USING gin (entity_ids);
CREATE INDEX ix_episodes_occurred_at ON focal.episodes USING btree (tenant_id, group_id, occurred_at DESC, id);
CREATE INDEX ix_episodes_session_id ON focal.episodes USING btree (tenant_id, session_id) WHERE (session_id IS NOT NULL);
CREATE POLICY tenant ON focal.episodes USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.migration_plans (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    scenario_id uuid NOT NULL,
    from_version bigint NOT NULL,
    to_version bigint NOT NULL,
    status text COLLATE "C" DEFAULT 'draft'::text NOT NULL,
    transformation_map jsonb NOT NULL,
    anchor_policies jsonb DEFAULT '{}'::jsonb NOT NULL,
    scope_filter jsonb,
    scenario_checksum_v1 text COLLATE "C",
    scenario_checksum_v2 text COLLATE "C",
    summary jsonb NOT NULL,
    created_by text COLLATE "C",
    approved_by text COLLATE "C",
    approved_at timestamp with time zone,
    deployed_at timestamp with time zone,
    expires_at timestamp with time zone,
    CONSTRAINT ck_migration_plans_status CHECK ((status = ANY (ARRAY['draft'::text, 'approved'::text, 'deployed'::text, 'superseded'::text, 'rejected'::text]))),
    CONSTRAINT ck_migration_plans_versions CHECK ((from_version < to_version)),
    CONSTRAINT pk_migration_plans PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_migration_plans_status ON focal.migration_plans USING btree (tenant_id, status, created_at);
CREATE INDEX ix_migration_plans_versions ON focal.migration_plans USING btree (tenant_id, scenario_id, from_version, to_version);
CREATE POLICY tenant ON focal.migration_plans USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.profile_assets (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    id uuid NOT NULL,
    source_item_id uuid,
    source_item_type text COLLATE "C",
    source_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text COLLATE "C" DEFAULT 'active'::text NOT NULL,
    superseded_by_id uuid,
    superseded_at timestamp with time zone,
    expires_at timestamp with time zone,
    asset_type text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    storage_provider text COLLATE "C" DEFAULT 'external'::text NOT NULL,
    asset_reference text COLLATE "C" NOT NULL,
    mime_type text COLLATE "C",
    size_bytes bigint,
    checksum text COLLATE "C",
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    uploaded_at timestamp with time zone DEFAULT now() NOT NULL,
    uploaded_in_session_id uuid,
    uploaded_in_scenario_id uuid,
    derived_from_tool text COLLATE "C",
    verified boolean DEFAULT false NOT NULL,
    verification_result jsonb,
    retention_policy text COLLATE "C" DEFAULT 'permanent'::text NOT NULL,
    analysis_field_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT ck_profile_assets_source_item_type CHECK ((source_item_type = ANY (ARRAY['profile_field'::text, 'profile_asset'::text, 'session'::text, 'tool'::text, 'external'::text]))),
    CONSTRAINT ck_profile_assets_status CHECK ((status = ANY (ARRAY['active'::text, 'superseded'::text, 'expired'::text, 'orphaned'::text]))),
    CONSTRAINT fk_profile_assets_profile_id FOREIGN KEY (tenant_id, profile_id) REFERENCES focal.customer_profiles(tenant_id, id),
    CONSTRAINT pk_profile_assets PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_profile_assets_asset_type ON focal.profile_assets USING btree (tenant_id, profile_id, asset_type);
CREATE INDEX ix_profile_assets_expires_at ON focal.profile_assets USING btree (tenant_id, expires_at) WHERE ((status = 'active'::text) AND (expires_at IS NOT NULL));
CREATE INDEX ix_profile_assets_name ON focal.profile_assets USING btree (tenant_id, profile_id, name, uploaded_at DESC, id DESC);
CREATE INDEX ix_profile_assets_source_item_id ON focal.profile_assets USING btree (tenant_id, source_item_id) WHERE (source_item_id IS NOT NULL);
CREATE POLICY tenant ON focal.profile_assets USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.profile_field_definitions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    value_type text COLLATE "C" DEFAULT 'string'::text NOT NULL,
    validation_regex text COLLATE "C",
    validation_tool_id text COLLATE "C",
    allowed_values jsonb,
    validation_mode text COLLATE "C" DEFAULT 'strict'::text NOT NULL,
    required_verification boolean DEFAULT false NOT NULL,
    verification_methods text[] COLLATE "C" DEFAULT '{}'::text[] NOT NULL,
    collection_prompt text COLLATE "C",
    extraction_examples jsonb DEFAULT '[]'::jsonb NOT NULL,
    extraction_prompt_hint text COLLATE "C",
    is_pii boolean DEFAULT false NOT NULL,
    encryption_required boolean DEFAULT false NOT NULL,
    retention_days bigint,
    freshness_seconds bigint,
    scope text COLLATE "C" DEFAULT 'identity'::text NOT NULL,
    persist boolean DEFAULT true NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    CONSTRAINT ck_profile_field_definitions_scope CHECK ((scope = ANY (ARRAY['identity'::text, 'business'::text, 'case'::text, 'session'::text]))),
    CONSTRAINT ck_profile_field_definitions_validation_mode CHECK ((validation_mode = ANY (ARRAY['strict'::text, 'warn'::text, 'disabled'::text]))),
    CONSTRAINT ck_profile_field_definitions_value_type CHECK ((value_type = ANY (ARRAY['string'::text, 'email'::text, 'phone'::text, 'date'::text, 'number'::text, 'boolean'::text, 'json'::text]))),
    CONSTRAINT pk_profile_field_definitions PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX uq_profile_field_definitions_name ON focal.profile_field_definitions USING btree (tenant_id, agent_id, name);
CREATE POLICY tenant ON focal.profile_field_definitions USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.profile_fields (
    tenant_id uuid NOT NULL,
    profile_id uuid NOT NULL,
    id uuid NOT NULL,
    source_item_id uuid,
    source_item_type text COLLATE "C",
    source_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text COLLATE "C" DEFAULT 'active'::text NOT NULL,
    superseded_by_id uuid,
    superseded_at timestamp with time zone,
    expires_at timestamp with time zone,
    field_name text COLLATE "C" NOT NULL,
    field_value jsonb NOT NULL,
    value_type text COLLATE "C" DEFAULT 'string'::text NOT NULL,
    source text COLLATE "C" DEFAULT 'user_provided'::text NOT NULL,
    source_session_id uuid,
    source_scenario_id uuid,
    source_step_id uuid,
    verified boolean DEFAULT false NOT NULL,
    verification_method text COLLATE "C",
    verified_at timestamp with time zone,
    verified_by text COLLATE "C",
    confidence double precision DEFAULT 1.0 NOT NULL,
    requires_confirmation boolean DEFAULT false NOT NULL,
    collected_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    field_definition_id uuid,
    CONSTRAINT ck_profile_fields_source CHECK ((source = ANY (ARRAY['user_provided'::text, 'llm_extracted'::text, 'tool_result'::text, 'document_extracted'::text, 'human_entered'::text, 'system_inferred'::text]))),
    CONSTRAINT ck_profile_fields_source_item_type CHECK ((source_item_type = ANY (ARRAY['profile_field'::text, 'profile_asset'::text, 'session'::text, 'tool'::text, 'external'::text]))),
    CONSTRAINT ck_profile_fields_status CHECK ((status = ANY (ARRAY['active'::text, 'superseded'::text, 'expired'::text, 'orphaned'::text]))),
    CONSTRAINT ck_profile_fields_value_type CHECK ((value_type = ANY (ARRAY['string'::text, 'email'::text, 'phone'::text, 'date'::text, 'number'::text, 'boolean'::text, 'json'::text]))),
    CONSTRAINT fk_profile_fields_profile_id FOREIGN KEY (tenant_id, profile_id) REFERENCES focal.customer_profiles(tenant_id, id),
    CONSTRAINT pk_profile_fields PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_profile_fields_expires_at ON focal.profile_fields USING btree (tenant_id, expires_at) WHERE ((status = 'active'::text) AND (expires_at IS NOT NULL));
CREATE INDEX ix_profile_fields_field_name ON focal.profile_fields USING btree (tenant_id, profile_id, field_name, collected_at DESC, id DESC);
CREATE INDEX ix_profile_fields_source_item_id ON focal.profile_fields USING btree (tenant_id, source_item_id) WHERE (source_item_id IS NOT NULL);
CREATE UNIQUE INDEX uq_profile_fields_active_name ON focal.profile_fields USING btree (tenant_id, profile_id, field_name) WHERE (status = 'active'::text);
CREATE POLICY tenant ON focal.profile_fields USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.relationships (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    valid_from timestamp with time zone DEFAULT now() NOT NULL,
    valid_to timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    group_id text COLLATE "C" NOT NULL,
    from_entity_id uuid NOT NULL,
    to_entity_id uuid NOT NULL,
    relation_type text COLLATE "C" NOT NULL,
    confidence double precision DEFAULT 1.0 NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT fk_relationships_from_entity_id FOREIGN KEY (tenant_id, group_id, from_entity_id) REFERENCES focal.entities(tenant_id, group_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_relationships_to_entity_id FOREIGN KEY (tenant_id, group_id, to_entity_id) REFERENCES focal.entities(tenant_id, group_id, id) ON DELETE CASCADE,
    CONSTRAINT pk_relationships PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_relationships_edge UNIQUE (tenant_id, group_id, from_entity_id, to_entity_id, relation_type, valid_from)
);
CREATE INDEX ix_relationships_created_at ON focal.relationships USING btree (tenant_id, group_id, created_at, id);
CREATE INDEX ix_relationships_from_entity_id ON focal.relationships USING btree (tenant_id, group_id, from_entity_id) INCLUDE (to_entity_id, id, relation_type, valid_from, valid_to);
CREATE INDEX ix_relationships_to_entity_id ON focal.relationships USING btree (tenant_id, group_id, to_entity_id) INCLUDE (from_entity_id, id, relation_type, valid_from, valid_to);
CREATE POLICY tenant ON focal.relationships USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.rule_vectors (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    space_id integer NOT NULL,
    agent_id uuid NOT NULL,
    embedding vector NOT NULL,
    CONSTRAINT fk_rule_vectors_id FOREIGN KEY (tenant_id, id) REFERENCES focal.rules(tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_rule_vectors_space_id FOREIGN KEY (space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_rule_vectors PRIMARY KEY (tenant_id, id, space_id)
) WITH (toast_tuple_target=8160);
CREATE INDEX hnsw_rule_vectors_1 ON focal.rule_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 1);
CREATE INDEX hnsw_rule_vectors_2 ON focal.rule_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 2);
CREATE INDEX ix_rule_vectors_agent_id ON focal.rule_vectors USING btree (tenant_id, agent_id, space_id);
CREATE POLICY tenant ON focal.rule_vectors USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.rules (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    scope text COLLATE "C" DEFAULT 'global'::text NOT NULL,
    scope_id uuid,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    condition_text text COLLATE "C" NOT NULL,
    condition_embedding_model text COLLATE "C",
    action_type text COLLATE "C" DEFAULT 'text'::text NOT NULL,
    action_text text COLLATE "C",
    action_config jsonb DEFAULT '{}'::jsonb NOT NULL,
    priority bigint DEFAULT 0 NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    max_fires_per_session bigint DEFAULT 0 NOT NULL,
    cooldown_turns bigint DEFAULT 0 NOT NULL,
    is_hard_constraint boolean DEFAULT false NOT NULL,
    enforcement_expression text COLLATE "C",
    tool_bindings jsonb DEFAULT '[]'::jsonb NOT NULL,
    attached_tool_ids text[] COLLATE "C" DEFAULT '{}'::text[] NOT NULL,
    attached_template_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    condition_embedding_space_id integer,
    CONSTRAINT ck_rules_condition_embedding_space CHECK (((condition_embedding_model IS NULL) = (condition_embedding_space_id IS NULL))),
    CONSTRAINT ck_rules_scope CHECK ((scope = ANY (ARRAY['global'::text, 'scenario'::text, 'step'::text]))),
    CONSTRAINT ck_rules_scope_id CHECK (((scope = 'global'::text) = (scope_id IS NULL))),
    CONSTRAINT fk_rules_condition_embedding_space_id FOREIGN KEY (condition_embedding_space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_rules PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_rules_priority ON focal.rules USING btree (tenant_id, agent_id, priority DESC, created_at, id) WHERE (deleted_at IS NULL);
CREATE INDEX ix_rules_scope ON focal.rules USING btree (tenant_id, agent_id, scope, scope_id) WHERE (deleted_at IS NULL);
CREATE POLICY tenant ON focal.rules USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.scenario_archives (
    tenant_id uuid NOT NULL,
    scenario_id uuid NOT NULL,
    version bigint NOT NULL,
    scenario_data jsonb NOT NULL,
    archived_at timestamp with time zone DEFAULT now() NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT pk_scenario_archives PRIMARY KEY (tenant_id, scenario_id, version)
);
CREATE INDEX ix_scenario_archives_archived_at ON focal.scenario_archives USING btree (tenant_id, archived_at);
CREATE POLICY tenant ON focal.scenario_archives USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.scenario_field_requirements (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    scenario_id uuid NOT NULL,
    step_id uuid,
    rule_id uuid,
    field_name text COLLATE "C" NOT NULL,
    required_level text COLLATE "C" DEFAULT 'hard'::text NOT NULL,
    fallback_action text COLLATE "C" DEFAULT 'ask'::text NOT NULL,
    when_condition text COLLATE "C",
    depends_on_fields text[] COLLATE "C" DEFAULT '{}'::text[] NOT NULL,
    collection_order bigint DEFAULT 0 NOT NULL,
    needs_human_review boolean DEFAULT false NOT NULL,
    extraction_confidence double precision DEFAULT 0.85 NOT NULL,
    CONSTRAINT ck_scenario_field_requirements_fallback_action CHECK ((fallback_action = ANY (ARRAY['ask'::text, 'skip'::text, 'block'::text, 'extract'::text]))),
    CONSTRAINT ck_scenario_field_requirements_required_level CHECK ((required_level = ANY (ARRAY['hard'::text, 'soft'::text]))),
    CONSTRAINT pk_scenario_field_requirements PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_scenario_field_requirements_collection_order ON focal.scenario_field_requirements USING btree (tenant_id, scenario_id, collection_order, field_name, id);
CREATE UNIQUE INDEX uq_scenario_field_requirements_place ON focal.scenario_field_requirements USING btree (tenant_id, agent_id, scenario_id, COALESCE(step_id, '00000000-0000-0000-0000-000000000000'::uuid), COALESCE(rule_id, '00000000-0000-0000-0000-000000000000'::uuid), field_name);
CREATE POLICY tenant ON focal.scenario_field_requirements USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.scenario_vectors (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    space_id integer NOT NULL,
    agent_id uuid NOT NULL,
    embedding vector NOT NULL,
    CONSTRAINT fk_scenario_vectors_id FOREIGN KEY (tenant_id, id) REFERENCES focal.scenarios(tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_scenario_vectors_space_id FOREIGN KEY (space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_scenario_vectors PRIMARY KEY (tenant_id, id, space_id)
) WITH (toast_tuple_target=8160);
CREATE INDEX hnsw_scenario_vectors_1 ON focal.scenario_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 1);
CREATE INDEX hnsw_scenario_vectors_2 ON focal.scenario_vectors USING hnsw (((l2_normalize(embedding))::halfvec(1536)) halfvec_cosine_ops) WHERE (space_id = 2);
CREATE INDEX ix_scenario_vectors_agent_id ON focal.scenario_vectors USING btree (tenant_id, agent_id, space_id);
CREATE POLICY tenant ON focal.scenario_vectors USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.scenarios (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    version bigint DEFAULT 1 NOT NULL,
    entry_condition text COLLATE "C",
    entry_embedding_model text COLLATE "C",
    entry_step_id uuid,
    steps jsonb DEFAULT '[]'::jsonb NOT NULL,
    content_hash text COLLATE "C",
    tags text[] COLLATE "C" DEFAULT '{}'::text[] NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    entry_embedding_space_id integer,
    CONSTRAINT ck_scenarios_entry_embedding_space CHECK (((entry_embedding_model IS NULL) = (entry_embedding_space_id IS NULL))),
    CONSTRAINT fk_scenarios_entry_embedding_space_id FOREIGN KEY (entry_embedding_space_id) REFERENCES focal.embedding_spaces(id),
    CONSTRAINT pk_scenarios PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_scenarios_created_at ON focal.scenarios USING btree (tenant_id, agent_id, created_at, id) WHERE (deleted_at IS NULL);
CREATE POLICY tenant ON focal.scenarios USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.sessions (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    customer_profile_id uuid,
    channel text COLLATE "C" NOT NULL,
    channel_hash bytea NOT NULL,
    status text COLLATE "C" DEFAULT 'active'::text NOT NULL,
    active_scenario_id uuid,
    last_activity_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    version bigint NOT NULL,
    write_token bytea,
    digest bytea,
    document json NOT NULL,
    CONSTRAINT ck_sessions_status CHECK ((status = ANY (ARRAY['active'::text, 'idle'::text, 'processing'::text, 'interrupted'::text, 'closed'::text]))),
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, session_id)
);
CREATE INDEX ix_sessions_active_scenario_id ON focal.sessions USING btree (tenant_id, active_scenario_id, last_activity_at DESC, session_id) WHERE (active_scenario_id IS NOT NULL);
CREATE INDEX ix_sessions_agent_id ON focal.sessions USING btree (tenant_id, agent_id, last_activity_at DESC, session_id);
CREATE INDEX ix_sessions_channel_hash ON focal.sessions USING btree (tenant_id, channel_hash, last_activity_at DESC, session_id);
CREATE INDEX ix_sessions_customer_profile_id ON focal.sessions USING btree (tenant_id, customer_profile_id, last_activity_at DESC, session_id) WHERE (customer_profile_id IS NOT NULL);
CREATE INDEX ix_sessions_expires_at ON focal.sessions USING btree (tenant_id, expires_at, session_id) WHERE (expires_at IS NOT NULL);
CREATE POLICY tenant ON focal.sessions USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.templates (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    scope text COLLATE "C" DEFAULT 'global'::text NOT NULL,
    scope_id uuid,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    mode text COLLATE "C" DEFAULT 'suggest'::text NOT NULL,
    conditions text COLLATE "C",
    CONSTRAINT ck_templates_mode CHECK ((mode = ANY (ARRAY['suggest'::text, 'exclusive'::text, 'fallback'::text]))),
    CONSTRAINT ck_templates_scope CHECK ((scope = ANY (ARRAY['global'::text, 'scenario'::text, 'step'::text]))),
    CONSTRAINT ck_templates_scope_id CHECK (((scope = 'global'::text) = (scope_id IS NULL))),
    CONSTRAINT pk_templates PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_templates_created_at ON focal.templates USING btree (tenant_id, agent_id, created_at, id) WHERE (deleted_at IS NULL);
CREATE POLICY tenant ON focal.templates USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.tool_activations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    tool_id text COLLATE "C" NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    policy_overrides jsonb DEFAULT '{}'::jsonb NOT NULL,
    enabled_at timestamp with time zone,
    disabled_at timestamp with time zone,
    CONSTRAINT pk_tool_activations PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX uq_tool_activations_tool_id ON focal.tool_activations USING btree (tenant_id, agent_id, tool_id);
CREATE POLICY tenant ON focal.tool_activations USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.turn_records (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    agent_id uuid,
    turn_number bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    digest bytea NOT NULL,
    payload jsonb NOT NULL,
    CONSTRAINT pk_turn_records PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_turn_records_turn_number UNIQUE (tenant_id, session_id, turn_number)
);
CREATE INDEX ix_turn_records_agent_id ON focal.turn_records USING btree (tenant_id, agent_id, created_at, id);
CREATE INDEX ix_turn_records_created_at ON focal.turn_records USING btree (tenant_id, created_at, id);
CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON focal.turn_records FOR EACH ROW EXECUTE FUNCTION focal.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON focal.turn_records FOR EACH STATEMENT EXECUTE FUNCTION focal.refuse_change();
CREATE POLICY tenant ON focal.turn_records USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE TABLE focal.variables (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    row_version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    agent_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    default_value jsonb DEFAULT 'null'::jsonb NOT NULL,
    merge_policy text COLLATE "C" DEFAULT 'replace'::text NOT NULL,
    update_policy text COLLATE "C" DEFAULT 'on_demand'::text NOT NULL,
    resolver_tool_id text COLLATE "C",
    cache_ttl_seconds bigint DEFAULT 0 NOT NULL,
    CONSTRAINT ck_variables_merge_policy CHECK ((merge_policy = ANY (ARRAY['replace'::text, 'append'::text, 'merge'::text]))),
    CONSTRAINT ck_variables_update_policy CHECK ((update_policy = ANY (ARRAY['on_each_turn'::text, 'on_demand'::text, 'on_scenario_entry'::text, 'on_session_start'::text]))),
    CONSTRAINT pk_variables PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX uq_variables_name ON focal.variables USING btree (tenant_id, agent_id, name) WHERE (deleted_at IS NULL);
CREATE POLICY tenant ON focal.variables USING ((tenant_id = ( SELECT (NULLIF(current_setting('focal.tenant_id'::text, true), ''::text))::uuid AS "nullif")));

CREATE OR REPLACE FUNCTION focal.erase_consents(tenant uuid, profile uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_consents AS (DELETE FROM focal.consents WHERE tenant_id = tenant AND profile_id = profile RETURNING 1) SELECT (SELECT count(*) FROM from_consents) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$function$;

REVOKE ALL ON FUNCTION focal.erase_consents(uuid,uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION focal.erase_tenant_audit(tenant uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_turn_records AS (DELETE FROM focal.turn_records WHERE tenant_id = tenant RETURNING 1), from_audit_events AS (DELETE FROM focal.audit_events WHERE tenant_id = tenant RETURNING 1) SELECT (SELECT count(*) FROM from_turn_records) + (SELECT count(*) FROM from_audit_events) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$function$;

REVOKE ALL ON FUNCTION focal.erase_tenant_audit(uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION focal.erase_tenant_profiles(tenant uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_consents AS (DELETE FROM focal.consents WHERE tenant_id = tenant RETURNING 1), from_channel_identities AS (DELETE FROM focal.channel_identities WHERE tenant_id = tenant RETURNING 1), from_profile_fields AS (DELETE FROM focal.profile_fields WHERE tenant_id = tenant RETURNING 1), from_profile_assets AS (DELETE FROM focal.profile_assets WHERE tenant_id = tenant RETURNING 1), from_customer_profiles AS (DELETE FROM focal.customer_profiles WHERE tenant_id = tenant RETURNING 1), from_profile_field_definitions AS (DELETE FROM focal.profile_field_definitions WHERE tenant_id = tenant RETURNING 1), from_scenario_field_requirements AS (DELETE FROM focal.scenario_field_requirements WHERE tenant_id = tenant RETURNING 1) SELECT (SELECT count(*) FROM from_consents) + (SELECT count(*) FROM from_channel_identities) + (SELECT count(*) FROM from_profile_fields) + (SELECT count(*) FROM from_profile_assets) + (SELECT count(*) FROM from_customer_profiles) + (SELECT count(*) FROM from_profile_field_definitions) + (SELECT count(*) FROM from_scenario_field_requirements) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$function$;

REVOKE ALL ON FUNCTION focal.erase_tenant_profiles(uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION focal.purge_audit(tenant uuid, before timestamp with time zone, session_ids uuid[])
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_turn_records AS (DELETE FROM focal.turn_records WHERE tenant_id = tenant AND (before IS NULL OR created_at < before) AND (session_ids IS NULL OR session_id = ANY (session_ids)) RETURNING 1), from_audit_events AS (DELETE FROM focal.audit_events WHERE tenant_id = tenant AND (before IS NULL OR created_at < before) AND (session_ids IS NULL OR session_id = ANY (session_ids)) RETURNING 1) SELECT (SELECT count(*) FROM from_turn_records) + (SELECT count(*) FROM from_audit_events) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$function$;

REVOKE ALL ON FUNCTION focal.purge_audit(uuid,timestamp with time zone,uuid[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION focal.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('focal.removing', true) = 'on'
        AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID)
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'FO001';
END
$function$;

-- embedding space 1, default, 1536, cosine, halfvec

-- embedding space 2, text-embedding-3-small, 1536, cosine, halfvec
