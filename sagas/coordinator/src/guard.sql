-- Nothing is written of a tenant that is at its end (log.guard, in the log's migrations). May be run again.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['instances', 'parked_events', 'passed_over'] LOOP
        PERFORM log.guard(format('saga.%I', t)::regclass);
    END LOOP;
END $$;
