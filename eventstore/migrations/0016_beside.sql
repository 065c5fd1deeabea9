-- Backups hold what people set up beside the log (webhooks, schedules), but not of tenants that are deleted, or live elsewhere.
CREATE POLICY backup ON log.closed FOR SELECT TO inopsio_{{service}}_backup USING (true);
GRANT SELECT ON log.closed TO inopsio_{{service}}_backup;
