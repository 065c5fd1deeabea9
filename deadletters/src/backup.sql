-- Forward from tables.sql: backups hold what people decided.
GRANT USAGE ON SCHEMA dead TO inopsio_{{service}}_backup;
DROP POLICY IF EXISTS backup ON dead.decisions;
CREATE POLICY backup ON dead.decisions FOR SELECT TO inopsio_{{service}}_backup USING (true);
GRANT SELECT ON dead.decisions TO inopsio_{{service}}_backup;
-- And, of sagas, which events wait for being looked at: those do not follow from the log when it is restored.
DROP POLICY IF EXISTS backup ON dead.letters;
CREATE POLICY backup ON dead.letters FOR SELECT TO inopsio_{{service}}_backup USING (true);
GRANT SELECT ON dead.letters TO inopsio_{{service}}_backup;
