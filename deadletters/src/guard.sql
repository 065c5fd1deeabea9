-- Forward from tables.sql: nothing is written of a tenant that is at its end (log.guard, in the log's migrations).
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['letters', 'attempts', 'decisions', 'commands', 'changes'] LOOP
        PERFORM log.guard(format('dead.%I', t)::regclass);
    END LOOP;
END $$;
