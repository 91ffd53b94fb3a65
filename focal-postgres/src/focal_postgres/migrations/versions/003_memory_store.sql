CREATE TABLE {schema}.episodes (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	valid_from TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	valid_to TIMESTAMP WITH TIME ZONE,
	recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	group_id TEXT COLLATE "C" NOT NULL,
	agent_id UUID,
	customer_profile_id UUID,
	session_id UUID,
	content TEXT COLLATE "C" NOT NULL,
	episode_type TEXT COLLATE "C" DEFAULT 'message' NOT NULL,
	source TEXT COLLATE "C" DEFAULT 'system' NOT NULL,
	source_metadata JSONB DEFAULT '{}' NOT NULL,
	importance DOUBLE PRECISION DEFAULT 0.5 NOT NULL,
	embedding_model TEXT COLLATE "C",
	entity_ids UUID[] DEFAULT '{}' NOT NULL,
	metadata JSONB DEFAULT '{}' NOT NULL,
	occurred_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	embedding_space_id INTEGER,
	content_folded TEXT COLLATE "C" DEFAULT '' NOT NULL,
	content_tsv TSVECTOR DEFAULT '' NOT NULL,
	CONSTRAINT pk_episodes PRIMARY KEY (tenant_id, id),
	CONSTRAINT ck_episodes_episode_type CHECK (episode_type IN ('message', 'event', 'fact', 'document', 'summary', 'meta_summary')),
	CONSTRAINT ck_episodes_source CHECK (source IN ('user', 'agent', 'system', 'external')),
	CONSTRAINT fk_episodes_embedding_space_id FOREIGN KEY(embedding_space_id) REFERENCES {schema}.embedding_spaces (id),
	CONSTRAINT ck_episodes_embedding_space CHECK ((embedding_model IS NULL) = (embedding_space_id IS NULL))
);

CREATE INDEX ix_episodes_agent_id ON {schema}.episodes (tenant_id, agent_id) WHERE agent_id IS NOT NULL;

CREATE INDEX ix_episodes_content_tsv ON {schema}.episodes USING gin (content_tsv);

CREATE INDEX ix_episodes_customer_profile_id ON {schema}.episodes (tenant_id, customer_profile_id) WHERE customer_profile_id IS NOT NULL;

CREATE INDEX ix_episodes_entity_ids ON {schema}.episodes USING gin (entity_ids);

CREATE INDEX ix_episodes_occurred_at ON {schema}.episodes (tenant_id, group_id, occurred_at DESC, id);

CREATE INDEX ix_episodes_session_id ON {schema}.episodes (tenant_id, session_id) WHERE session_id IS NOT NULL;

CREATE TABLE {schema}.episode_vectors (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space_id INTEGER NOT NULL,
	group_id TEXT COLLATE "C" NOT NULL,
	embedding vector NOT NULL,
	CONSTRAINT pk_episode_vectors PRIMARY KEY (tenant_id, id, space_id),
	CONSTRAINT fk_episode_vectors_id FOREIGN KEY(tenant_id, id) REFERENCES {schema}.episodes (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT fk_episode_vectors_space_id FOREIGN KEY(space_id) REFERENCES {schema}.embedding_spaces (id)
)
 WITH (toast_tuple_target = 8160);

CREATE INDEX ix_episode_vectors_group_id ON {schema}.episode_vectors (tenant_id, group_id, space_id);

ALTER TABLE {schema}.episode_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;

CREATE TABLE {schema}.entities (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	valid_from TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	valid_to TIMESTAMP WITH TIME ZONE,
	recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	group_id TEXT COLLATE "C" NOT NULL,
	agent_id UUID,
	customer_profile_id UUID,
	name TEXT COLLATE "C" NOT NULL,
	entity_type TEXT COLLATE "C" NOT NULL,
	canonical_name TEXT COLLATE "C",
	attributes JSONB DEFAULT '{}' NOT NULL,
	embedding_model TEXT COLLATE "C",
	embedding_space_id INTEGER,
	CONSTRAINT pk_entities PRIMARY KEY (tenant_id, id),
	CONSTRAINT fk_entities_embedding_space_id FOREIGN KEY(embedding_space_id) REFERENCES {schema}.embedding_spaces (id),
	CONSTRAINT ck_entities_embedding_space CHECK ((embedding_model IS NULL) = (embedding_space_id IS NULL))
);

CREATE INDEX ix_entities_created_at ON {schema}.entities (tenant_id, group_id, created_at, id);

CREATE INDEX ix_entities_entity_type ON {schema}.entities (tenant_id, group_id, entity_type, created_at, id);

CREATE INDEX ix_entities_name ON {schema}.entities (tenant_id, group_id, lower(name));

CREATE UNIQUE INDEX uq_entities_group_id_id ON {schema}.entities (tenant_id, group_id, id);

CREATE TABLE {schema}.entity_vectors (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	space_id INTEGER NOT NULL,
	group_id TEXT COLLATE "C" NOT NULL,
	embedding vector NOT NULL,
	CONSTRAINT pk_entity_vectors PRIMARY KEY (tenant_id, id, space_id),
	CONSTRAINT fk_entity_vectors_id FOREIGN KEY(tenant_id, id) REFERENCES {schema}.entities (tenant_id, id) ON DELETE CASCADE,
	CONSTRAINT fk_entity_vectors_space_id FOREIGN KEY(space_id) REFERENCES {schema}.embedding_spaces (id)
)
 WITH (toast_tuple_target = 8160);

CREATE INDEX ix_entity_vectors_group_id ON {schema}.entity_vectors (tenant_id, group_id, space_id);

ALTER TABLE {schema}.entity_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;

CREATE TABLE {schema}.relationships (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	row_version BIGINT DEFAULT 0 NOT NULL,
	valid_from TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	valid_to TIMESTAMP WITH TIME ZONE,
	recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	group_id TEXT COLLATE "C" NOT NULL,
	from_entity_id UUID NOT NULL,
	to_entity_id UUID NOT NULL,
	relation_type TEXT COLLATE "C" NOT NULL,
	confidence DOUBLE PRECISION DEFAULT 1.0 NOT NULL,
	attributes JSONB DEFAULT '{}' NOT NULL,
	CONSTRAINT pk_relationships PRIMARY KEY (tenant_id, id),
	CONSTRAINT fk_relationships_from_entity_id FOREIGN KEY(tenant_id, group_id, from_entity_id) REFERENCES {schema}.entities (tenant_id, group_id, id) ON DELETE CASCADE,
	CONSTRAINT fk_relationships_to_entity_id FOREIGN KEY(tenant_id, group_id, to_entity_id) REFERENCES {schema}.entities (tenant_id, group_id, id) ON DELETE CASCADE,
	CONSTRAINT uq_relationships_edge UNIQUE (tenant_id, group_id, from_entity_id, to_entity_id, relation_type, valid_from)
);

CREATE INDEX ix_relationships_created_at ON {schema}.relationships (tenant_id, group_id, created_at, id);

CREATE INDEX ix_relationships_from_entity_id ON {schema}.relationships (tenant_id, group_id, from_entity_id) INCLUDE (to_entity_id, id, relation_type, valid_from, valid_to);

CREATE INDEX ix_relationships_to_entity_id ON {schema}.relationships (tenant_id, group_id, to_entity_id) INCLUDE (from_entity_id, id, relation_type, valid_from, valid_to);
