CREATE POLICY tenant ON {schema}.agents USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.audit_events USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.channel_identities USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.consents USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.customer_profiles USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.entities USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.entity_vectors USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.episode_vectors USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.episodes USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.migration_plans USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.profile_assets USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.profile_field_definitions USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.profile_fields USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.relationships USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.rule_vectors USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.rules USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.scenario_archives USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.scenario_field_requirements USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.scenario_vectors USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.scenarios USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.sessions USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.templates USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.tool_activations USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.turn_records USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));

CREATE POLICY tenant ON {schema}.variables USING (tenant_id = (SELECT NULLIF(current_setting('focal.tenant_id', true), '')::uuid));
