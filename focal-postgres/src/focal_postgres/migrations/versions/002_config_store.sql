CREATE TABLE {schema}.agents (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	name TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C",
	system_prompt TEXT COLLATE "C",
	settings JSONB NOT NULL,
	current_version BIGINT DEFAULT 1 NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	default_model TEXT COLLATE "C" GENERATED ALWAYS AS (settings ->> 'model') STORED,
	CONSTRAINT pk_agents PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_agents_name_id ON {schema}.agents (tenant_id, name, id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX uq_agents_name ON {schema}.agents (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE {schema}.rules (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	scope TEXT COLLATE "C" DEFAULT 'global' NOT NULL,
	scope_id UUID,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C",
	condition_text TEXT COLLATE "C" NOT NULL,
	condition_embedding_model TEXT COLLATE "C",
	action_type TEXT COLLATE "C" DEFAULT 'text' NOT NULL,
	action_text TEXT COLLATE "C",
	action_config JSONB DEFAULT '{}' NOT NULL,
	priority BIGINT DEFAULT 0 NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	max_fires_per_session BIGINT DEFAULT 0 NOT NULL,
	cooldown_turns BIGINT DEFAULT 0 NOT NULL,
	is_hard_constraint BOOLEAN DEFAULT false NOT NULL,
	enforcement_expression TEXT COLLATE "C",
	tool_bindings JSONB DEFAULT '[]' NOT NULL,
	attached_tool_ids TEXT[] COLLATE "C" DEFAULT '{}' NOT NULL,
	attached_template_ids UUID[] DEFAULT '{}' NOT NULL,
	condition_embedding_space_id INTEGER,
	CONSTRAINT pk_rules PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_rules_scope CHECK (scope IN ('global', 'scenario', 'step')),
	CONSTRAINT fk_rules_condition_embedding_space_id FOREIGN KEY(condition_embedding_space_id) REFERENCES {schema}.embedding_spaces (id),
	CONSTRAINT ck_rules_condition_embedding_space CHECK ((condition_embedding_model IS NULL) = (condition_embedding_space_id IS NULL)),
	CONSTRAINT ck_rules_scope_id CHECK ((scope = 'global') = (scope_id IS NULL))
);

CREATE INDEX ix_rules_priority ON {schema}.rules (tenant_id, agent_id, priority DESC, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_rules_scope ON {schema}.rules (tenant_id, agent_id, scope, scope_id) WHERE deleted_at IS NULL;

CREATE TABLE {schema}.rule_vectors (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space_id INTEGER NOT NULL,
	agent_id UUID NOT NULL,
	embedding vector NOT NULL,
	CONSTRAINT pk_rule_vectors PRIMARY KEY (tenant_id, id, space_id),
	CONSTRAINT fk_rule_vectors_id FOREIGN KEY(tenant_id, id) REFERENCES {schema}.rules (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT fk_rule_vectors_space_id FOREIGN KEY(space_id) REFERENCES {schema}.embedding_spaces (id)
)
 WITH (toast_tuple_target = 8160);

CREATE INDEX ix_rule_vectors_agent_id ON {schema}.rule_vectors (tenant_id, agent_id, space_id);

ALTER TABLE {schema}.rule_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;

CREATE TABLE {schema}.scenarios (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C",
	version BIGINT DEFAULT 1 NOT NULL,
	entry_condition TEXT COLLATE "C",
	entry_embedding_model TEXT COLLATE "C",
	entry_step_id UUID,
	steps JSONB DEFAULT '[]' NOT NULL,
	content_hash TEXT COLLATE "C",
	tags TEXT[] COLLATE "C" DEFAULT '{}' NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	entry_embedding_space_id INTEGER,
	CONSTRAINT pk_scenarios PRIMARY KEY (tenant_id, id),
	CONSTRAINT fk_scenarios_entry_embedding_space_id FOREIGN KEY(entry_embedding_space_id) REFERENCES {schema}.embedding_spaces (id),
	CONSTRAINT ck_scenarios_entry_embedding_space CHECK ((entry_embedding_model IS NULL) = (entry_embedding_space_id IS NULL))
);

CREATE INDEX ix_scenarios_created_at ON {schema}.scenarios (tenant_id, agent_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE {schema}.scenario_vectors (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space_id INTEGER NOT NULL,
	agent_id UUID NOT NULL,
	embedding vector NOT NULL,
	CONSTRAINT pk_scenario_vectors PRIMARY KEY (tenant_id, id, space_id),
	CONSTRAINT fk_scenario_vectors_id FOREIGN KEY(tenant_id, id) REFERENCES {schema}.scenarios (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT fk_scenario_vectors_space_id FOREIGN KEY(space_id) REFERENCES {schema}.embedding_spaces (id)
)
 WITH (toast_tuple_target = 8160);

CREATE INDEX ix_scenario_vectors_agent_id ON {schema}.scenario_vectors (tenant_id, agent_id, space_id);

ALTER TABLE {schema}.scenario_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;

CREATE TABLE {schema}.templates (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	scope TEXT COLLATE "C" DEFAULT 'global' NOT NULL,
	scope_id UUID,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	content TEXT COLLATE "C" NOT NULL,
	mode TEXT COLLATE "C" DEFAULT 'suggest' NOT NULL,
	conditions TEXT COLLATE "C",
	CONSTRAINT pk_templates PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_templates_scope CHECK (scope IN ('global', 'scenario', 'step')),
	CONSTRAINT ck_templates_mode CHECK (mode IN ('suggest', 'exclusive', 'fallback')),
	CONSTRAINT ck_templates_scope_id CHECK ((scope = 'global') = (scope_id IS NULL))
);

CREATE INDEX ix_templates_created_at ON {schema}.templates (tenant_id, agent_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE {schema}.variables (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	name TEXT COLLATE "C" NOT NULL,
	description TEXT COLLATE "C",
	default_value JSONB DEFAULT 'null' NOT NULL,
	merge_policy TEXT COLLATE "C" DEFAULT 'replace' NOT NULL,
	update_policy TEXT COLLATE "C" DEFAULT 'on_demand' NOT NULL,
	resolver_tool_id TEXT COLLATE "C",
	cache_ttl_seconds BIGINT DEFAULT 0 NOT NULL,
	CONSTRAINT pk_variables PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_variables_merge_policy CHECK (merge_policy IN ('replace', 'append', 'merge')),
	CONSTRAINT ck_variables_update_policy CHECK (update_policy IN ('on_each_turn', 'on_demand', 'on_scenario_entry', 'on_session_start'))
);

CREATE UNIQUE INDEX uq_variables_name ON {schema}.variables (tenant_id, agent_id, name) WHERE deleted_at IS NULL;

CREATE TABLE {schema}.tool_activations (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	agent_id UUID NOT NULL,
	tool_id TEXT COLLATE "C" NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	policy_overrides JSONB DEFAULT '{}' NOT NULL,
	enabled_at TIMESTAMP WITH TIME ZONE,
	disabled_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_tool_activations PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX uq_tool_activations_tool_id ON {schema}.tool_activations (tenant_id, agent_id, tool_id);
