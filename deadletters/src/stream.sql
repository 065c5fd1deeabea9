-- Forward from tables.sql: what changes is told on the bus (stream DEAD_LETTERS), by whoever finds it here.

-- Changes that were not told yet, in the order in which they were made; gone when the bus has them.
CREATE TABLE IF NOT EXISTS dead.changes (
    tenant_id      uuid        NOT NULL,
    change         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    message_id     uuid        NOT NULL DEFAULT gen_random_uuid(),
    at             timestamptz NOT NULL DEFAULT now(),
    consumer       text        NOT NULL,
    position       bigint      NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    event_type     text        NOT NULL,
    state          text        NOT NULL,
    attempts       integer     NOT NULL,
    PRIMARY KEY (tenant_id, change)
);
-- What is told next, over all tenants.
CREATE UNIQUE INDEX IF NOT EXISTS changes_order ON dead.changes (change);

-- In the transaction that changes a letter, whoever does. Those that only wait, or only stand for others that do, are no news.
CREATE OR REPLACE FUNCTION dead.note() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO dead.changes (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state, attempts)
    VALUES (NEW.tenant_id, NEW.consumer, NEW.position, NEW.aggregate_type, NEW.aggregate_id, NEW.event_type, NEW.state,
        NEW.attempts);
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS note_parked ON dead.letters;
DROP TRIGGER IF EXISTS note_changed ON dead.letters;
CREATE TRIGGER note_parked AFTER INSERT ON dead.letters FOR EACH ROW
    WHEN (NEW.state <> 'waiting' AND NEW.attempts > 0) EXECUTE FUNCTION dead.note();
CREATE TRIGGER note_changed AFTER UPDATE OF state ON dead.letters FOR EACH ROW
    WHEN (NEW.state <> OLD.state AND NEW.state <> 'waiting' AND NEW.attempts > 0) EXECUTE FUNCTION dead.note();

ALTER TABLE dead.changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead.changes FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS consume ON dead.changes;
CREATE POLICY consume ON dead.changes TO inopsio_{{service}}_project, inopsio_{{service}}_deliver, inopsio_{{service}}_owner USING (true);
GRANT SELECT, INSERT, DELETE ON dead.changes TO inopsio_{{service}}_project;
GRANT INSERT ON dead.changes TO inopsio_{{service}}_deliver;
