-- In plpgsql, which keeps the plan: a function in SQL is parsed and planned anew in each statement that asks it, and every append does.
CREATE OR REPLACE FUNCTION log.closed_now() RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT coalesce(array_agg(c.tenant_id), '{}') FROM log.closed c WHERE c.until > clock_timestamp());
END $$;
