-- Who has these claims of a tenant. The keys of persons and tenants stand among the claims (src/sealing.rs): they have to come
-- with the first event that is sealed under them and go with the event that erases, in the very same append.
CREATE FUNCTION log.holders(p_tenant uuid, p_kind text, p_keys bytea[])
RETURNS TABLE (key bytea, holder text) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    RETURN QUERY
        SELECT c.key, c.holder FROM log.claims c
        WHERE c.tenant_id = p_tenant AND c.kind = p_kind AND c.key = ANY (p_keys);
END $$;
REVOKE ALL ON FUNCTION log.holders(uuid, text, bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.holders(uuid, text, bytea[]) TO inopsio_{{service}}_append;

-- A stream's state is forgotten with its key: it was sealed under it, so this only tidies up.
CREATE FUNCTION log.drop_snapshot(p_tenant uuid, p_aggregate_type text, p_aggregate_id text)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_ids', ARRAY[p_tenant]::text, true);
    DELETE FROM log.snapshots
    WHERE tenant_id = p_tenant AND aggregate_type = p_aggregate_type AND aggregate_id = p_aggregate_id;
END $$;
REVOKE ALL ON FUNCTION log.drop_snapshot(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.drop_snapshot(uuid, text, text) TO inopsio_{{service}}_append;
