-- In plpgsql, which keeps the plan: a function in SQL is parsed and planned anew in each statement that asks it, and every append does.
-- And of whoever is asked for, no more than those: deleted tenants stay in the table for ever.
CREATE OR REPLACE FUNCTION log.closed_now() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_asked uuid[] := coalesce(
        nullif(current_setting('app.tenant_ids', true), '')::uuid[], ARRAY[nullif(current_setting('app.tenant_id', true), '')::uuid]);
BEGIN
    IF v_asked[1] IS NULL THEN
        RETURN (SELECT coalesce(array_agg(c.tenant_id), '{}') FROM log.closed c WHERE c.until > clock_timestamp());
    END IF;
    RETURN (
        SELECT coalesce(array_agg(c.tenant_id), '{}')
        FROM unnest(v_asked) AS a (tenant_id)
        JOIN LATERAL (
            SELECT c.tenant_id FROM log.closed c WHERE c.tenant_id = a.tenant_id AND c.until > clock_timestamp() LIMIT 1
        ) c ON true);
END $$;

-- Each key by itself along the index: while the table has no statistics, `= ANY` was a filter over all claims of the tenant and kind.
CREATE OR REPLACE FUNCTION log.holders(p_tenant uuid, p_kind text, p_keys bytea[])
RETURNS TABLE (key bytea, holder text) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    RETURN QUERY
        SELECT f.key, f.holder
        FROM unnest(p_keys) AS k (key)
        JOIN LATERAL (
            SELECT c.key, c.holder FROM log.claims c WHERE c.tenant_id = p_tenant AND c.kind = p_kind AND c.key = k.key LIMIT 1
        ) f ON true;
END $$;
