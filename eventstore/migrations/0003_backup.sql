-- Who takes backups: sees the whole log of all tenants, and changes nothing. Databases of before get to know the role here.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_backup', current_database());
END $$;

CREATE POLICY backup ON log.events   FOR SELECT TO inopsio_{{service}}_backup USING (true);
CREATE POLICY backup ON log.commands FOR SELECT TO inopsio_{{service}}_backup USING (true);
CREATE POLICY backup ON log.claims   FOR SELECT TO inopsio_{{service}}_backup USING (true);

GRANT USAGE ON SCHEMA log TO inopsio_{{service}}_backup;
GRANT SELECT ON log.events, log.commands, log.claims, log.head TO inopsio_{{service}}_backup;
