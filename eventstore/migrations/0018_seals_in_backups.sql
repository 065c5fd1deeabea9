-- Backups hold the seals.
CREATE POLICY backup ON log.seals FOR SELECT TO inopsio_{{service}}_backup USING (true);
GRANT SELECT ON log.seals TO inopsio_{{service}}_backup;
