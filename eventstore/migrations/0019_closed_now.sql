-- Whoever works for all tenants (jobs, webhooks, sagas) passes over those that are closed. Of a deleted one there is nothing to pass over:
-- its rows went in the transaction that closed it, and none is made again (log.pass_over_gone). So those, which stay in the table for ever,
-- are left out for them; else each row they look at would be held against a list that only grows. Who asks for certain tenants is told of
-- deleted ones, too.
CREATE INDEX closed_alive ON log.closed (tenant_id) WHERE state <> 'deleted';

-- As in 0010, but for that.
CREATE OR REPLACE FUNCTION log.closed_now() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_asked uuid[] := coalesce(
        nullif(current_setting('app.tenant_ids', true), '')::uuid[], ARRAY[nullif(current_setting('app.tenant_id', true), '')::uuid]);
BEGIN
    IF v_asked[1] IS NULL THEN
        RETURN (
            SELECT coalesce(array_agg(c.tenant_id), '{}') FROM log.closed c
            WHERE c.state <> 'deleted' AND c.until > clock_timestamp());
    END IF;
    RETURN (
        SELECT coalesce(array_agg(c.tenant_id), '{}')
        FROM unnest(v_asked) AS a (tenant_id)
        JOIN LATERAL (
            SELECT c.tenant_id FROM log.closed c WHERE c.tenant_id = a.tenant_id AND c.until > clock_timestamp() LIMIT 1
        ) c ON true);
END $$;
