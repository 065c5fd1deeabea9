-- Cold streams. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner. May be run again.
--
-- A child of log.events: whoever reads log.events reads this too, under the policies of log.events, along indexes of the same order.
-- Whoever writes to log.events never writes here. It is made when something is archived for the first time: before that it costs nothing.
CREATE TABLE IF NOT EXISTS log.archived (
    PRIMARY KEY (tenant_id, aggregate_type, aggregate_id, sequence)
) INHERITS (log.events);
CREATE UNIQUE INDEX IF NOT EXISTS archived_position ON log.archived (position);
CREATE INDEX IF NOT EXISTS archived_tenant_position ON log.archived (tenant_id, position);
-- Nothing here changes: pages are filled, and what is longer than a few words is compressed where it stands.
ALTER TABLE log.archived SET (fillfactor = 100, toast_tuple_target = 128);
ALTER TABLE log.archived ALTER COLUMN payload SET STORAGE MAIN, ALTER COLUMN metadata SET STORAGE MAIN;

ALTER TABLE log.archived ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.archived FORCE  ROW LEVEL SECURITY;
DROP POLICY IF EXISTS owner ON log.archived;
CREATE POLICY owner ON log.archived TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
