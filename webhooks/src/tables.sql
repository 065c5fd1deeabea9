-- Webhooks. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner. May be run again.
--
-- Four who come here: `read` sees its tenant's endpoints without their secrets, `configure` changes its tenant's, `deliver`
-- works for all tenants, `backup` takes out what they set up.

DO $$ BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_configure, inopsio_{{service}}_deliver', current_database());
END $$;
CREATE SCHEMA IF NOT EXISTS webhooks;
GRANT USAGE ON SCHEMA webhooks TO inopsio_{{service}}_read, inopsio_{{service}}_configure, inopsio_{{service}}_deliver;
GRANT USAGE ON SCHEMA log TO inopsio_{{service}}_configure, inopsio_{{service}}_deliver;
GRANT SELECT ON log.head TO inopsio_{{service}}_configure, inopsio_{{service}}_deliver;

CREATE TABLE IF NOT EXISTS webhooks.endpoints (
    tenant_id       uuid        NOT NULL,
    endpoint_id     uuid        NOT NULL,
    -- Raised by each change: the ETag.
    version         bigint      NOT NULL,
    url             text        NOT NULL,
    -- Patterns; none: every type.
    types           text[]      NOT NULL,
    description     text        NOT NULL,
    secret          bytea       NOT NULL,
    -- Signs, too, until then: receivers are told of a new secret one after another.
    former_secret   bytea,
    former_until    timestamptz,
    enabled         boolean     NOT NULL,
    disabled_reason text,
    created_at      timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id)
);

-- How far each endpoint is. Updated by every delivery, so it keeps room for its own new versions in its pages.
CREATE TABLE IF NOT EXISTS webhooks.cursors (
    tenant_id       uuid        NOT NULL,
    endpoint_id     uuid        NOT NULL,
    -- Everything up to here was delivered, or is not wanted.
    position        bigint      NOT NULL,
    -- Raised when somebody sets the position: whoever delivers then notices that it is not theirs any more.
    generation      bigint      NOT NULL DEFAULT 0,
    -- Of the event that comes next: how often it failed, since when something fails, and when it is tried again.
    attempts        integer     NOT NULL DEFAULT 0,
    failing_since   timestamptz,
    next_attempt_at timestamptz,
    delivered       bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, endpoint_id)
) WITH (fillfactor = 50);

-- Each attempt; the last ones of each endpoint are kept. The id is a UUID of version 7, so it sorts by time.
CREATE TABLE IF NOT EXISTS webhooks.deliveries (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    delivery_id uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    event_type  text        NOT NULL,
    -- Null: a ping.
    position    bigint,
    attempt     integer     NOT NULL,
    sent_at     timestamptz NOT NULL,
    duration_ms bigint      NOT NULL,
    status      integer,
    -- Null: it was delivered.
    error       text,
    response    text        NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, delivery_id)
);

-- Who changed what and when. Stays when the endpoint goes; never holds a secret.
CREATE TABLE IF NOT EXISTS webhooks.changes (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    version     bigint      NOT NULL,
    actor       text        NOT NULL,
    changed_at  timestamptz NOT NULL,
    change      text        NOT NULL,
    detail      jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, version)
);

-- What is to be told: that an endpoint was disabled by itself. Gone when everybody was told, or could not be for a day.
CREATE TABLE IF NOT EXISTS webhooks.notices (
    tenant_id       uuid        NOT NULL,
    endpoint_id     uuid        NOT NULL,
    -- Of the change: which disabling it is.
    version         bigint      NOT NULL,
    disabled_at     timestamptz NOT NULL,
    reason          text        NOT NULL,
    -- Users who were told.
    told            uuid[]      NOT NULL DEFAULT '{}',
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, version)
);

-- What was done under which id, with the first answer: as for commands of the log.
CREATE TABLE IF NOT EXISTS webhooks.commands (
    tenant_id    uuid        NOT NULL,
    command_id   text        NOT NULL,
    request_hash bytea       NOT NULL,
    answer       text        NOT NULL,
    recorded_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);
-- What is forgotten after a while.
CREATE INDEX IF NOT EXISTS commands_age ON webhooks.commands (recorded_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['endpoints', 'cursors', 'deliveries', 'changes', 'commands', 'notices'] LOOP
        EXECUTE format('ALTER TABLE webhooks.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE webhooks.%I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON webhooks.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS deliver ON webhooks.%I', t);
        EXECUTE format('CREATE POLICY tenant ON webhooks.%I TO inopsio_{{service}}_read, inopsio_{{service}}_configure
            USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', t);
        EXECUTE format('CREATE POLICY deliver ON webhooks.%I TO inopsio_{{service}}_deliver USING (true)', t);
        -- What is deleted with its tenant, or purged of one that lives elsewhere.
        EXECUTE format('DROP POLICY IF EXISTS owner ON webhooks.%I', t);
        EXECUTE format('CREATE POLICY owner ON webhooks.%I TO inopsio_{{service}}_owner
            USING ((tenant_id = ANY ((SELECT nullif(current_setting(''app.tenant_ids'', true), '''')::uuid[])::uuid[])) IS TRUE)', t);
        -- Tenants that are on their way to another cell, live there, or are deleted: nothing is delivered from here, and nothing is changed.
        EXECUTE format('DROP POLICY IF EXISTS closed ON webhooks.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS closed_to_new ON webhooks.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS closed_to_change ON webhooks.%I', t);
        EXECUTE format('CREATE POLICY closed ON webhooks.%I AS RESTRICTIVE TO inopsio_{{service}}_deliver
            USING ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        EXECUTE format('CREATE POLICY closed_to_new ON webhooks.%I AS RESTRICTIVE FOR INSERT TO inopsio_{{service}}_configure
            WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        EXECUTE format('CREATE POLICY closed_to_change ON webhooks.%I AS RESTRICTIVE FOR UPDATE TO inopsio_{{service}}_configure
            USING (true) WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        -- Nor is anything written of a tenant that is at its end.
        PERFORM log.guard(format('webhooks.%I', t)::regclass);
    END LOOP;
END $$;

GRANT SELECT (tenant_id, endpoint_id, version, url, types, description, former_until, enabled, disabled_reason, created_at,
              changed_at) ON webhooks.endpoints TO inopsio_{{service}}_read;
GRANT SELECT ON webhooks.cursors, webhooks.deliveries, webhooks.changes TO inopsio_{{service}}_read;

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks.endpoints, webhooks.cursors TO inopsio_{{service}}_configure;
GRANT SELECT, INSERT, DELETE ON webhooks.deliveries TO inopsio_{{service}}_configure;
GRANT SELECT, INSERT ON webhooks.changes TO inopsio_{{service}}_configure;
GRANT SELECT, INSERT, UPDATE ON webhooks.commands TO inopsio_{{service}}_configure;

GRANT SELECT, UPDATE (enabled, disabled_reason, version, changed_at, former_secret, former_until) ON webhooks.endpoints TO inopsio_{{service}}_deliver;
GRANT SELECT, UPDATE ON webhooks.cursors TO inopsio_{{service}}_deliver;
GRANT SELECT, INSERT, DELETE ON webhooks.deliveries TO inopsio_{{service}}_deliver;
GRANT INSERT ON webhooks.changes TO inopsio_{{service}}_deliver;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks.notices TO inopsio_{{service}}_deliver;
-- Not the answers: that of one that was set up has its secret.
GRANT SELECT (tenant_id, recorded_at), DELETE ON webhooks.commands TO inopsio_{{service}}_deliver;
GRANT SELECT, DELETE ON webhooks.notices TO inopsio_{{service}}_configure;

-- Secrets leave the database sealed.
GRANT USAGE ON SCHEMA webhooks TO inopsio_{{service}}_backup;
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['endpoints', 'cursors', 'changes'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS backup ON webhooks.%I', t);
        EXECUTE format('CREATE POLICY backup ON webhooks.%I FOR SELECT TO inopsio_{{service}}_backup USING (true)', t);
        EXECUTE format('GRANT SELECT ON webhooks.%I TO inopsio_{{service}}_backup', t);
    END LOOP;
END $$;
