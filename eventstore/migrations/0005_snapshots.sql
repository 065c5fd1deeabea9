-- States of long streams, so that loading one need not read all of it. Nothing depends on them: what is missing, of another
-- form or ahead of its stream is passed over, and they can be deleted at any time. They hold what the events hold, personal
-- data included: whoever makes a person's events unreadable deletes that tenant's snapshots too.
CREATE TABLE log.snapshots (
    tenant_id      uuid        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    -- Of which form the state is; the latest one only is kept.
    form           text        NOT NULL,
    -- The stream's version that it shows, and when the last event of it happened.
    sequence       bigint      NOT NULL CHECK (sequence > 0),
    occurred_at    timestamptz NOT NULL,
    state          json        NOT NULL,
    PRIMARY KEY (tenant_id, aggregate_type, aggregate_id)
);
ALTER TABLE log.snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.snapshots FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON log.snapshots TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
CREATE POLICY read ON log.snapshots FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT ON log.snapshots TO inopsio_{{service}}_read;

-- A stream's events after its snapshot of this form, in one round trip; all of them where there is none. The snapshot is the
-- first row: its event_type is null, its payload is the state. Runs as its caller, under the caller's policy.
CREATE FUNCTION log.resume(p_tenant uuid, p_aggregate_type text, p_aggregate_id text, p_form text)
RETURNS SETOF log.events LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_after bigint := 0;
    r       log.events;
BEGIN
    PERFORM set_config('app.tenant_id', p_tenant::text, true);
    SELECT s.sequence, s.occurred_at, s.state INTO r.sequence, r.occurred_at, r.payload
    FROM log.snapshots s
    WHERE s.tenant_id = p_tenant AND s.aggregate_type = p_aggregate_type AND s.aggregate_id = p_aggregate_id
      AND s.form = p_form
      -- A log that was restored may not have come so far, or in another way.
      AND EXISTS (SELECT FROM log.events e
                  WHERE e.tenant_id = p_tenant AND e.aggregate_type = p_aggregate_type AND e.aggregate_id = p_aggregate_id
                    AND e.sequence = s.sequence AND e.occurred_at = s.occurred_at);
    IF FOUND THEN
        v_after := r.sequence;
        RETURN NEXT r;
    END IF;
    RETURN QUERY
        SELECT * FROM log.events e
        WHERE e.tenant_id = p_tenant AND e.aggregate_type = p_aggregate_type AND e.aggregate_id = p_aggregate_id
          AND e.sequence > v_after
        ORDER BY e.sequence;
END $$;
REVOKE ALL ON FUNCTION log.resume(uuid, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.resume(uuid, text, text, text) TO inopsio_{{service}}_read;

-- Keeps a state, unless a later one of the same form is there that belongs to the stream.
CREATE FUNCTION log.keep_snapshot(p_tenant uuid, p_aggregate_type text, p_aggregate_id text, p_form text, p_sequence bigint,
                                  p_occurred_at timestamptz, p_state text)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    INSERT INTO log.snapshots AS s (tenant_id, aggregate_type, aggregate_id, form, sequence, occurred_at, state)
    VALUES (p_tenant, p_aggregate_type, p_aggregate_id, p_form, p_sequence, p_occurred_at, p_state::json)
    ON CONFLICT (tenant_id, aggregate_type, aggregate_id) DO UPDATE
    SET form = excluded.form, sequence = excluded.sequence, occurred_at = excluded.occurred_at, state = excluded.state
    WHERE s.form <> excluded.form OR s.sequence <= excluded.sequence
       OR NOT EXISTS (SELECT FROM log.events e
                      WHERE e.tenant_id = p_tenant AND e.aggregate_type = p_aggregate_type AND e.aggregate_id = p_aggregate_id
                        AND e.sequence = s.sequence AND e.occurred_at = s.occurred_at);
END $$;
REVOKE ALL ON FUNCTION log.keep_snapshot(uuid, text, text, text, bigint, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.keep_snapshot(uuid, text, text, text, bigint, timestamptz, text) TO inopsio_{{service}}_append;
