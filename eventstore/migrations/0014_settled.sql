-- What counts before a tenant is destroyed are the read models that there are: those that the program knows which asks, and those that
-- another one applies at this moment, such as a newer one that takes its place. Of one that a later program dropped the checkpoint
-- stands where it stood, for ever; nobody writes to its tables any more.
DROP FUNCTION log.empty(uuid);
DROP FUNCTION log.destroy(uuid);
DROP FUNCTION log.settled(uuid);

-- p_known: the names of the read models that the program knows; NULL: whichever have a checkpoint, as programs ask that were before this.
CREATE FUNCTION log.settled(p_tenant uuid, p_known text[]) RETURNS void
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
    -- Who applies one holds LockClass::Projection, by the name that the projector gives to each of its partitions.
    EXECUTE
        'SELECT string_agg(DISTINCT c.projection, '', '') FROM projector.checkpoints c
         WHERE c.position < $1
           AND ($2 IS NULL OR c.projection = ANY ($2) OR EXISTS (
               SELECT FROM pg_locks l
               WHERE l.locktype = ''advisory'' AND l.objsubid = 2 AND l.granted
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND l.classid::bigint = 71647
                 AND l.objid::bigint = hashtext(
                     c.projection || CASE c.partitions WHEN 1 THEN '''' ELSE ''/'' || c.partition || ''/'' || c.partitions END
                 )::bigint & 4294967295))'
        INTO v_behind USING v_last, p_known;
    IF v_behind IS NOT NULL THEN
        RAISE EXCEPTION 'the read models % have not taken in all of the tenant''s history', v_behind
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;
REVOKE ALL ON FUNCTION log.settled(uuid, text[]) FROM PUBLIC;

-- As in 0011.
CREATE FUNCTION log.empty(p_tenant uuid, p_known text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM log.settled(p_tenant, p_known);
    INSERT INTO log.closed (tenant_id, state, cell, until) VALUES (p_tenant, 'deleted', '', '-infinity')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = '-infinity', since = now()
    WHERE closed.state <> 'deleted';
    PERFORM log.purge(p_tenant, false);
END $$;
REVOKE ALL ON FUNCTION log.empty(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.empty(uuid, text[]) TO inopsio_{{service}}_append;

-- As in 0011.
CREATE FUNCTION log.destroy(p_tenant uuid, p_known text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7164702801);
    PERFORM log.settled(p_tenant, p_known);
    INSERT INTO log.closed (tenant_id, state, cell) VALUES (p_tenant, 'deleted', '')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = 'infinity', since = now()
    WHERE (closed.state, closed.until) <> ('deleted', 'infinity');
    PERFORM log.purge(p_tenant);
END $$;
REVOKE ALL ON FUNCTION log.destroy(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.destroy(uuid, text[]) TO inopsio_{{service}}_append;
