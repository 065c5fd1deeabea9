-- A tenant that is deleted: nothing is written for it here any more, for ever, and what it had is gone but the bytes of its history.
ALTER TABLE log.closed DROP CONSTRAINT closed_state_check;
ALTER TABLE log.closed ADD CONSTRAINT closed_state_check CHECK (state IN ('paused', 'left', 'arriving', 'deleted'));

-- Deletes what can be deleted of a tenant that is deleted, lives elsewhere, or did not come here after all: its claims, the keys of its people and its own among them;
-- answers, snapshots; and its rows of every table that is not the log's: read models, jobs, webhooks, dead letters, and sagas, if these
-- are wanted too. Its events stay, because positions are dense and hashes are proven by bytes; what of them is sealed, nobody can open
-- any more.
CREATE FUNCTION log.purge(p_tenant uuid, p_sagas boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM log.closed
        WHERE tenant_id = p_tenant AND (state IN ('left', 'deleted') OR state = 'arriving' AND until = 'infinity'))
    THEN
        RAISE EXCEPTION 'the tenant % lives here', p_tenant USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    FOR t IN
        SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'log' AND n.nspname !~ '^(pg_|information_schema)'
          AND (p_sagas OR n.nspname <> 'saga')
    LOOP
        EXECUTE format('DELETE FROM %s WHERE tenant_id = $1', t) USING p_tenant;
    END LOOP;
    DELETE FROM log.claims    WHERE tenant_id = p_tenant;
    DELETE FROM log.commands  WHERE tenant_id = p_tenant;
    DELETE FROM log.snapshots WHERE tenant_id = p_tenant;
    -- What a move noted, whose end was lost: the lines above add to it.
    DELETE FROM log.touched   WHERE tenant_id = p_tenant;
    -- What was parked of it is counted no more.
    IF to_regclass('projector.checkpoints') IS NOT NULL AND to_regclass('dead.letters') IS NOT NULL THEN
        EXECUTE
            'UPDATE projector.checkpoints c SET
                 parked_events = (
                     SELECT count(*) FROM dead.letters l
                     WHERE l.consumer = ''projection.'' || c.projection AND l.state IN (''parked'', ''waiting'')
                         AND get_byte(uuid_send(l.tenant_id), 15) & (c.partitions - 1) = c.partition),
                 parked_aggregates = (
                     SELECT count(*) FROM dead.letters l
                     WHERE l.consumer = ''projection.'' || c.projection AND l.state = ''parked''
                         AND get_byte(uuid_send(l.tenant_id), 15) & (c.partitions - 1) = c.partition)
             WHERE c.parked_events > 0';
    END IF;
END $$;
REVOKE ALL ON FUNCTION log.purge(uuid, boolean) FROM PUBLIC;

-- Refuses to destroy a tenant of whom a read model has not taken in all, or that is being built anew: it would write down again afterwards
-- what it has read. Until the transaction ends, none begins to be built.
CREATE FUNCTION log.settled(p_tenant uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_last   bigint;
    v_name   text;
    v_behind text;
BEGIN
    IF to_regclass('projector.checkpoints') IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    FOR v_name IN EXECUTE 'SELECT DISTINCT projection FROM projector.checkpoints' LOOP
        -- LockClass::ProjectionBuild
        IF NOT pg_try_advisory_xact_lock(71648, hashtext(v_name)) THEN
            RAISE EXCEPTION 'the read model % is being built anew', v_name
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END LOOP;
    -- What sagas note of themselves is in no read model, and one of them may be asking for this.
    SELECT max(e.position) INTO v_last FROM log.events e
    WHERE e.tenant_id = p_tenant AND e.aggregate_type NOT LIKE '%.saga';
    EXECUTE 'SELECT string_agg(DISTINCT projection, '', '') FROM projector.checkpoints WHERE position < $1'
        INTO v_behind USING v_last;
    IF v_behind IS NOT NULL THEN
        RAISE EXCEPTION 'the read models % have not taken in all of the tenant''s history', v_behind
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;
REVOKE ALL ON FUNCTION log.settled(uuid) FROM PUBLIC;

-- The bulk of it, for which nobody has to wait: all but its sagas, one of which may be asking for this. What is written meanwhile, by
-- whatever still runs, is left for log.destroy. The closure of until then is none; it tells whoever builds read models.
CREATE FUNCTION log.empty(p_tenant uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM log.settled(p_tenant);
    INSERT INTO log.closed (tenant_id, state, cell, until) VALUES (p_tenant, 'deleted', '', '-infinity')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = '-infinity', since = now()
    WHERE closed.state <> 'deleted';
    PERFORM log.purge(p_tenant, false);
END $$;
REVOKE ALL ON FUNCTION log.empty(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.empty(uuid) TO inopsio_{{service}}_append;

-- The end of it: closed for good, and nothing left but history. In one transaction, under the lock of the writers, so that nothing comes
-- after it.
CREATE FUNCTION log.destroy(p_tenant uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7164702801);
    PERFORM log.settled(p_tenant);
    INSERT INTO log.closed (tenant_id, state, cell) VALUES (p_tenant, 'deleted', '')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = 'infinity', since = now()
    WHERE (closed.state, closed.until) <> ('deleted', 'infinity');
    PERFORM log.purge(p_tenant);
END $$;
REVOKE ALL ON FUNCTION log.destroy(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.destroy(uuid) TO inopsio_{{service}}_append;
