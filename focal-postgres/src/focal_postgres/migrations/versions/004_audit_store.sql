CREATE TABLE {schema}.turn_records (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	session_id UUID NOT NULL,
	agent_id UUID,
	turn_number BIGINT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	digest BYTEA NOT NULL,
	payload JSONB NOT NULL,
	CONSTRAINT pk_turn_records PRIMARY KEY (tenant_id, id),
	CONSTRAINT uq_turn_records_turn_number UNIQUE (tenant_id, session_id, turn_number)
);

CREATE INDEX ix_turn_records_agent_id ON {schema}.turn_records (tenant_id, agent_id, created_at, id);

CREATE INDEX ix_turn_records_created_at ON {schema}.turn_records (tenant_id, created_at, id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {schema}.turn_records FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {schema}.turn_records FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

CREATE TABLE {schema}.audit_events (
	tenant_id UUID NOT NULL,
	id UUID NOT NULL,
	session_id UUID,
	turn_id UUID,
	event_type TEXT COLLATE "C" NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	digest BYTEA NOT NULL,
	payload JSONB NOT NULL,
	CONSTRAINT pk_audit_events PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_audit_events_created_at ON {schema}.audit_events (tenant_id, created_at, id);

CREATE INDEX ix_audit_events_event_type ON {schema}.audit_events (tenant_id, event_type, created_at, id);

CREATE INDEX ix_audit_events_session_id ON {schema}.audit_events (tenant_id, session_id, created_at, id) WHERE session_id IS NOT NULL;

CREATE INDEX ix_audit_events_turn_id ON {schema}.audit_events (tenant_id, turn_id, created_at, id) WHERE turn_id IS NOT NULL;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {schema}.audit_events FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {schema}.audit_events FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

CREATE FUNCTION {schema}.purge_audit(tenant uuid, before timestamptz, session_ids uuid[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_turn_records AS (DELETE FROM {schema}.turn_records WHERE tenant_id = tenant AND (before IS NULL OR created_at < before) AND (session_ids IS NULL OR session_id = ANY (session_ids)) RETURNING 1), from_audit_events AS (DELETE FROM {schema}.audit_events WHERE tenant_id = tenant AND (before IS NULL OR created_at < before) AND (session_ids IS NULL OR session_id = ANY (session_ids)) RETURNING 1) SELECT (SELECT count(*) FROM from_turn_records) + (SELECT count(*) FROM from_audit_events) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$$;

REVOKE ALL ON FUNCTION {schema}.purge_audit(uuid, timestamptz, uuid[]) FROM PUBLIC;

CREATE FUNCTION {schema}.erase_tenant_audit(tenant uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM set_config('focal.removing', 'on', true);
    WITH from_turn_records AS (DELETE FROM {schema}.turn_records WHERE tenant_id = tenant RETURNING 1), from_audit_events AS (DELETE FROM {schema}.audit_events WHERE tenant_id = tenant RETURNING 1) SELECT (SELECT count(*) FROM from_turn_records) + (SELECT count(*) FROM from_audit_events) INTO removed;
    PERFORM set_config('focal.removing', 'off', true);
    RETURN removed;
END
$$;

REVOKE ALL ON FUNCTION {schema}.erase_tenant_audit(uuid) FROM PUBLIC;
