-- The ordered log. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner.

CREATE TABLE log.events (
    tenant_id      uuid        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    sequence       bigint      NOT NULL CHECK (sequence > 0),
    -- Up to here the key; the next four are what postgres-es expects (event_version is text there).
    event_type     text        NOT NULL,
    event_version  text        NOT NULL,
    payload        json        NOT NULL,
    metadata       json        NOT NULL,
    event_id       uuid        NOT NULL,
    -- Dense, from 1, in commit order; also the sequence of the message in the service's stream.
    position       bigint      NOT NULL CHECK (position > 0),
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    -- RFC 6962 leaf, computed by the writer from the bytes that it sent.
    leaf_hash      bytea       NOT NULL CHECK (octet_length(leaf_hash) = 32),
    PRIMARY KEY (tenant_id, aggregate_type, aggregate_id, sequence)
);
CREATE UNIQUE INDEX events_position ON log.events (position);
CREATE INDEX events_tenant_position ON log.events (tenant_id, position);

-- What was done under which id, with the first answer.
CREATE TABLE log.commands (
    tenant_id      uuid        NOT NULL,
    command_id     text        NOT NULL,
    request_hash   bytea       NOT NULL,
    answer         text        NOT NULL,
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);

-- Unique keys of a tenant: keyed hashes, never the values.
CREATE TABLE log.claims (
    tenant_id uuid  NOT NULL,
    kind      text  NOT NULL,
    key       bytea NOT NULL,
    holder    text  NOT NULL,
    PRIMARY KEY (tenant_id, kind, key)
);

-- One row: where the log ends. Updated by every batch, so it keeps room for its own new versions in its page.
CREATE TABLE log.head (
    one         boolean     PRIMARY KEY DEFAULT true CHECK (one),
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO log.head (position, recorded_at) VALUES (0, '-infinity');

-- Row level security, for the owner too. A setting that is not set, or was set by a transaction that has ended (then it is
-- the empty string), means no rows. As sub-selects the settings are read once a statement, not once a row.
ALTER TABLE log.events   ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.events   FORCE  ROW LEVEL SECURITY;
ALTER TABLE log.commands ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.commands FORCE  ROW LEVEL SECURITY;
ALTER TABLE log.claims   ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.claims   FORCE  ROW LEVEL SECURITY;

CREATE POLICY owner ON log.events TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
CREATE POLICY owner ON log.commands TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
CREATE POLICY owner ON log.claims TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));

CREATE POLICY read ON log.events FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY follow ON log.events FOR SELECT TO inopsio_{{service}}_follow
    USING (true);

GRANT USAGE ON SCHEMA log TO
    inopsio_{{service}}_append, inopsio_{{service}}_read, inopsio_{{service}}_follow, inopsio_{{service}}_project;
GRANT SELECT ON log.events, log.head TO inopsio_{{service}}_read, inopsio_{{service}}_follow;
GRANT SELECT ON log.head TO inopsio_{{service}}_project;

-- The events of one stream after a version, in one round trip. Runs as its caller, under the caller's policy.
CREATE FUNCTION log.load(p_tenant uuid, p_aggregate_type text, p_aggregate_id text, p_after bigint)
RETURNS SETOF log.events LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);
    RETURN QUERY
        SELECT * FROM log.events e
        WHERE e.tenant_id = p_tenant AND e.aggregate_type = p_aggregate_type AND e.aggregate_id = p_aggregate_id
          AND e.sequence > p_after
        ORDER BY e.sequence;
END $$;
REVOKE ALL ON FUNCTION log.load(uuid, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.load(uuid, text, text, bigint) TO inopsio_{{service}}_read;

-- What was done under a command's id.
CREATE FUNCTION log.command(p_tenant uuid, p_command_id text)
RETURNS TABLE (request_hash bytea, answer text, last_position bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    RETURN QUERY
        SELECT c.request_hash, c.answer, c.last_position FROM log.commands c
        WHERE c.tenant_id = p_tenant AND c.command_id = p_command_id;
END $$;
REVOKE ALL ON FUNCTION log.command(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.command(uuid, text) TO inopsio_{{service}}_append;
