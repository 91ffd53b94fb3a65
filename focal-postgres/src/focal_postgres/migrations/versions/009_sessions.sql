CREATE TABLE {schema}.sessions (
	tenant_id UUID NOT NULL,
	session_id UUID NOT NULL,
	agent_id UUID NOT NULL,
	customer_profile_id UUID,
	channel TEXT COLLATE "C" NOT NULL,
	channel_hash BYTEA NOT NULL,
	status TEXT COLLATE "C" DEFAULT 'active' NOT NULL,
	active_scenario_id UUID,
	last_activity_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE,
	version BIGINT NOT NULL,
	write_token BYTEA,
	digest BYTEA,
	document JSON NOT NULL,
	CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, session_id),
	CONSTRAINT ck_sessions_status CHECK (status IN ('active', 'idle', 'processing', 'interrupted', 'closed'))
);

CREATE INDEX ix_sessions_active_scenario_id ON {schema}.sessions (tenant_id, active_scenario_id, last_activity_at DESC, session_id) WHERE active_scenario_id IS NOT NULL;

CREATE INDEX ix_sessions_agent_id ON {schema}.sessions (tenant_id, agent_id, last_activity_at DESC, session_id);

CREATE INDEX ix_sessions_channel_hash ON {schema}.sessions (tenant_id, channel_hash, last_activity_at DESC, session_id);

CREATE INDEX ix_sessions_customer_profile_id ON {schema}.sessions (tenant_id, customer_profile_id, last_activity_at DESC, session_id) WHERE customer_profile_id IS NOT NULL;

CREATE INDEX ix_sessions_expires_at ON {schema}.sessions (tenant_id, expires_at, session_id) WHERE expires_at IS NOT NULL;
