-- No row is left of a tenant that is destroyed, by whoever was writing one at that moment: not in the log's tables, nor in those that
-- stand beside it (docs/src/adr/0059-whoever-writes-looks-whether-the-tenant-is-at-its-end.md). In three steps:
--
-- 1. log.condemn notes that the tenant is at its end, and that is committed. Whoever makes a row looks for this note (log.pass_over_gone),
--    after they have got a transaction id.
-- 2. Whoever destroys waits for the transactions that have an id then (log.writers): those that looked before there was a note. What came
--    later sees it and makes no row.
-- 3. What was there, or was being written, is deleted; nothing comes after it.
--
-- Appends need none of this: they and the end of a tenant (log.destroy) wait for each other.

-- What is noted of a tenant at its end is a closure that is none yet (until = -infinity): it still has to say how its deletion goes on.
CREATE FUNCTION log.condemn(p_tenant uuid, p_known text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM log.settled(p_tenant, p_known);
    INSERT INTO log.closed (tenant_id, state, cell, until) VALUES (p_tenant, 'deleted', '', '-infinity')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = '-infinity', since = now()
    WHERE closed.state <> 'deleted';
END $$;
REVOKE ALL ON FUNCTION log.condemn(uuid, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.condemn(uuid, text[]) TO inopsio_{{service}}_append;

-- The transactions that write to this database now, by their ids.
CREATE FUNCTION log.writers() RETURNS text[] LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(l.transactionid::text), '{}')
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND a.datname = current_database()
$$;
REVOKE ALL ON FUNCTION log.writers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.writers() TO inopsio_{{service}}_append;

-- Before a row of a guarded table is made. No search_path is set, which would cost as much as the rest: all that is called is named in full,
-- and it runs as who writes. Who asks for something in a tenant's name is refused; who works for all tenants passes this one over.
CREATE FUNCTION log.pass_over_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Before it looks: whoever does not see the note is one of those that are waited for.
    v_own  pg_catalog.xid8 := pg_catalog.pg_current_xact_id();
    v_gone boolean;
BEGIN
    SELECT c.state = 'deleted' OR c.state = 'left' AND c.purged INTO v_gone FROM log.closed c WHERE c.tenant_id = NEW.tenant_id;
    IF v_gone IS NOT TRUE THEN
        RETURN NEW;
    END IF;
    IF current_user IN ('inopsio_{{service}}_queue', 'inopsio_{{service}}_configure') THEN
        RAISE EXCEPTION 'the tenant % is deleted, or lives elsewhere', NEW.tenant_id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION log.pass_over_gone() FROM PUBLIC;

-- Guards a table that has a tenant_id. May be asked again: one that is guarded is not locked for it. p_appended: the owner's rows come with
-- an append, which needs no guard.
CREATE FUNCTION log.guard(p_table regclass, p_appended boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = p_table AND tgname = 'gone') THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TRIGGER gone BEFORE INSERT ON %s FOR EACH ROW %s EXECUTE FUNCTION log.pass_over_gone()', p_table,
        CASE WHEN p_appended THEN 'WHEN (current_user <> ''inopsio_{{service}}_owner'')' ELSE '' END);
END $$;
REVOKE ALL ON FUNCTION log.guard(regclass, boolean) FROM PUBLIC;

SELECT log.guard('log.snapshots');

-- For who changes several rows of tenants in one transaction, before the first of them: whoever destroys one of these does so before, or
-- after, and the two don't wait for each other's rows. It locks what was noted of those at their end, so it costs nothing of most.
CREATE FUNCTION log.hold(p_tenants uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM log.closed c WHERE c.tenant_id = ANY (p_tenants) AND c.state = 'deleted' FOR KEY SHARE;
END $$;
REVOKE ALL ON FUNCTION log.hold(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.hold(uuid[]) TO inopsio_{{service}}_project;

-- As in 0014; the note by itself is log.condemn's.
CREATE OR REPLACE FUNCTION log.empty(p_tenant uuid, p_known text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM log.condemn(p_tenant, p_known);
    PERFORM log.purge(p_tenant, false);
END $$;

-- As in 0014; whoever holds the tenant is waited for first, while nobody waits for us.
CREATE OR REPLACE FUNCTION log.destroy(p_tenant uuid, p_known text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM log.closed c WHERE c.tenant_id = p_tenant FOR UPDATE;
    PERFORM pg_advisory_xact_lock(7164702801);
    PERFORM log.settled(p_tenant, p_known);
    INSERT INTO log.closed (tenant_id, state, cell) VALUES (p_tenant, 'deleted', '')
    ON CONFLICT (tenant_id) DO UPDATE SET state = 'deleted', cell = '', until = 'infinity', since = now()
    WHERE (closed.state, closed.until) <> ('deleted', 'infinity');
    PERFORM log.purge(p_tenant);
END $$;

-- As in 0011; what is parked goes first. Whoever tries it again holds it, and writes rows of read models and sagas meanwhile: they are
-- waited for before anything else is touched, and nobody can begin to after that.
CREATE OR REPLACE FUNCTION log.purge(p_tenant uuid, p_sagas boolean DEFAULT true) RETURNS void
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
    IF to_regclass('dead.letters') IS NOT NULL THEN
        LOOP
            DELETE FROM dead.letters WHERE tenant_id = p_tenant AND state = 'parked';
            -- Who held one may have parked the next one of its aggregate.
            EXIT WHEN NOT EXISTS (SELECT FROM dead.letters WHERE tenant_id = p_tenant AND state = 'parked');
        END LOOP;
    END IF;
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
