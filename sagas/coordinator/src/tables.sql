-- The coordinator's own tables: all that is missing is made, so this may run again. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner.

CREATE SCHEMA IF NOT EXISTS saga;
GRANT USAGE ON SCHEMA saga TO inopsio_{{service}}_project, inopsio_{{service}}_read, inopsio_{{service}}_backup;

-- How far the log was followed. It begins where the log is now: what happened before there were sagas starts none.
CREATE TABLE IF NOT EXISTS saga.checkpoint (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO saga.checkpoint (position) SELECT position FROM log.head ON CONFLICT DO NOTHING;

-- Each instance as its stream's first `version` events make it. The stream is the truth; this answers what is due and what is
-- there.
CREATE TABLE IF NOT EXISTS saga.instances (
    tenant_id   uuid        NOT NULL,
    instance_id uuid        NOT NULL,
    saga        text        NOT NULL,
    definition  bigint      NOT NULL,
    key         text        NOT NULL,
    status      text        NOT NULL,
    step        text,
    undo        boolean     NOT NULL,
    turn        bigint      NOT NULL,
    attempt     bigint      NOT NULL,
    code        text,
    reason      text,
    version     bigint      NOT NULL,
    -- The timer. Null: nothing to do.
    wake_at     timestamptz,
    -- The position of the last event that it had to hear of.
    poked       bigint      NOT NULL DEFAULT 0,
    -- Up to here it has seen all that it had to hear of.
    seen        bigint      NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, instance_id)
);
-- What is due, over all tenants.
CREATE INDEX IF NOT EXISTS instances_due ON saga.instances (wake_at) WHERE wake_at IS NOT NULL;
-- What is due of each tenant: from one to the next, however much there is of one.
CREATE INDEX IF NOT EXISTS instances_turns ON saga.instances (tenant_id, wake_at) WHERE wake_at IS NOT NULL;
-- Who hears an event.
CREATE INDEX IF NOT EXISTS instances_key ON saga.instances (tenant_id, saga, key) WHERE wake_at IS NOT NULL;
-- The list, newest first.
CREATE INDEX IF NOT EXISTS instances_list ON saga.instances (tenant_id, started_at DESC, instance_id DESC);
-- Those that count for operators.
CREATE INDEX IF NOT EXISTS instances_open ON saga.instances (saga, status)
    WHERE status IN ('running', 'unwinding', 'stuck');

-- Events of which a saga could not say whether they start it. They are asked about again whenever a coordinator takes over.
CREATE TABLE IF NOT EXISTS saga.parked_events (
    tenant_id uuid        NOT NULL,
    saga      text        NOT NULL,
    position  bigint      NOT NULL,
    code      text        NOT NULL,
    reason    text        NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, saga, position)
);

-- Of tenants that were closed (log.closed), the events after one position and up to another that were passed over: they have yet to be
-- looked at, as soon as the tenant is let in, here or where it lives then.
CREATE TABLE IF NOT EXISTS saga.passed_over (
    tenant_id uuid   PRIMARY KEY,
    after     bigint NOT NULL,
    upto      bigint NOT NULL
);

ALTER TABLE saga.passed_over   ENABLE ROW LEVEL SECURITY;
ALTER TABLE saga.passed_over   FORCE  ROW LEVEL SECURITY;
ALTER TABLE saga.instances     ENABLE ROW LEVEL SECURITY;
ALTER TABLE saga.instances     FORCE  ROW LEVEL SECURITY;
ALTER TABLE saga.parked_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE saga.parked_events FORCE  ROW LEVEL SECURITY;

-- The coordinator works for all tenants and must know all that is due; readers see their own.
DROP POLICY IF EXISTS project ON saga.passed_over;
DROP POLICY IF EXISTS project ON saga.instances;
DROP POLICY IF EXISTS project ON saga.parked_events;
DROP POLICY IF EXISTS read    ON saga.instances;
DROP POLICY IF EXISTS read    ON saga.parked_events;
CREATE POLICY project ON saga.passed_over   TO inopsio_{{service}}_project, inopsio_{{service}}_owner USING (true);
CREATE POLICY project ON saga.instances     TO inopsio_{{service}}_project, inopsio_{{service}}_owner USING (true);
CREATE POLICY project ON saga.parked_events TO inopsio_{{service}}_project, inopsio_{{service}}_owner USING (true);
CREATE POLICY read ON saga.instances FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY read ON saga.parked_events FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON saga.passed_over TO inopsio_{{service}}_project;
GRANT SELECT, INSERT, UPDATE ON saga.instances TO inopsio_{{service}}_project;
GRANT SELECT, INSERT, DELETE ON saga.parked_events TO inopsio_{{service}}_project;
GRANT SELECT, UPDATE ON saga.checkpoint TO inopsio_{{service}}_project;
GRANT SELECT ON saga.instances, saga.parked_events, saga.checkpoint TO inopsio_{{service}}_read;
-- Backups hold up to where events were looked at.
GRANT SELECT ON saga.passed_over, saga.checkpoint TO inopsio_{{service}}_backup;
DROP POLICY IF EXISTS backup ON saga.passed_over;
CREATE POLICY backup ON saga.passed_over FOR SELECT TO inopsio_{{service}}_backup USING (true);
