-- The projector's own tables. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner.

CREATE SCHEMA IF NOT EXISTS projector;
GRANT USAGE ON SCHEMA projector TO inopsio_{{service}}_project, inopsio_{{service}}_read;

-- The checkpoint of each projection. Every batch updates it, so the low fillfactor leaves room in the page for new row versions.
CREATE TABLE IF NOT EXISTS projector.checkpoints (
    projection        text   PRIMARY KEY,
    version           bigint NOT NULL,
    position          bigint NOT NULL,
    -- Raised by each rebuild, so that a worker that applies to the old tables notices it even if the position is the same.
    generation        bigint NOT NULL DEFAULT 0,
    tables            text[] NOT NULL,
    parked_events     bigint NOT NULL DEFAULT 0,
    parked_aggregates bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- The tenants of a projection may be divided into 2, 4, 8, … partitions, each with its own checkpoint. If some of its tenants are ahead of
-- the checkpoint, because partitions were joined, `reached` has the positions by classes of tenants (`Reached` in partition.rs).
ALTER TABLE projector.checkpoints
    ADD COLUMN IF NOT EXISTS partition  integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS partitions integer NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS reached    bigint[];
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'projector.checkpoints'::regclass AND conname = 'checkpoints_key') THEN
        ALTER TABLE projector.checkpoints DROP CONSTRAINT checkpoints_pkey;
        ALTER TABLE projector.checkpoints ADD CONSTRAINT checkpoints_key PRIMARY KEY (projection, partition);
    END IF;
END $$;
GRANT SELECT, UPDATE ON projector.checkpoints TO inopsio_{{service}}_project;
GRANT SELECT ON projector.checkpoints TO inopsio_{{service}}_read;

-- Aggregates with an event that could not be applied. Their later events are parked too, to keep the order.
CREATE TABLE IF NOT EXISTS projector.parked_aggregates (
    tenant_id      uuid   NOT NULL,
    projection     text   NOT NULL,
    aggregate_type text   NOT NULL,
    aggregate_id   text   NOT NULL,
    -- The event that could not be applied, and why.
    position       bigint NOT NULL,
    reason         text   NOT NULL,
    PRIMARY KEY (tenant_id, projection, aggregate_type, aggregate_id)
);

-- Parked events, by position; the events themselves are in the log.
CREATE TABLE IF NOT EXISTS projector.parked_events (
    tenant_id      uuid        NOT NULL,
    projection     text        NOT NULL,
    position       bigint      NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    event_type     text        NOT NULL,
    -- Null: the event is parked only because it follows a parked one.
    reason         text,
    parked_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, projection, position)
);

ALTER TABLE projector.parked_aggregates ENABLE ROW LEVEL SECURITY;
ALTER TABLE projector.parked_aggregates FORCE  ROW LEVEL SECURITY;
ALTER TABLE projector.parked_events     ENABLE ROW LEVEL SECURITY;
ALTER TABLE projector.parked_events     FORCE  ROW LEVEL SECURITY;

-- The projector works for all tenants, and loads all parked events when it starts. Readers see only those of their tenant.
DROP POLICY IF EXISTS project ON projector.parked_aggregates;
DROP POLICY IF EXISTS project ON projector.parked_events;
DROP POLICY IF EXISTS read    ON projector.parked_aggregates;
DROP POLICY IF EXISTS read    ON projector.parked_events;
CREATE POLICY project ON projector.parked_aggregates TO inopsio_{{service}}_project, inopsio_{{service}}_owner USING (true);
CREATE POLICY project ON projector.parked_events     TO inopsio_{{service}}_project, inopsio_{{service}}_owner USING (true);
CREATE POLICY read ON projector.parked_aggregates FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY read ON projector.parked_events FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT ON projector.parked_aggregates, projector.parked_events TO inopsio_{{service}}_project;
GRANT SELECT ON projector.parked_aggregates, projector.parked_events TO inopsio_{{service}}_read;

-- Readers lock this table in shared mode, before they take their snapshot, until they end. A rebuild locks it exclusively to swap tables.
-- Without it, a reader whose snapshot is older than the new tables' rows would find them empty.
CREATE TABLE IF NOT EXISTS projector.swaps ();
GRANT SELECT ON projector.swaps TO inopsio_{{service}}_read;
