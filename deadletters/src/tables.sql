-- Dead letters. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner. May be run again.
--
-- Who comes here: consumers (`project`, `deliver`) work for all tenants, `configure` carries out what people of its tenant decide,
-- `read` sees its tenant's.

DO $$ BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_configure', current_database());
END $$;
CREATE SCHEMA IF NOT EXISTS dead;
GRANT USAGE ON SCHEMA dead TO inopsio_{{service}}_project, inopsio_{{service}}_deliver, inopsio_{{service}}_configure,
    inopsio_{{service}}_read;

-- An event that a consumer can't take, and those of its aggregate that came after it; the events themselves are in the log.
CREATE TABLE IF NOT EXISTS dead.letters (
    tenant_id       uuid        NOT NULL,
    -- Kind and name: projection.leads.
    consumer        text        NOT NULL,
    position        bigint      NOT NULL,
    aggregate_type  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    event_type      text        NOT NULL,
    -- parked: it can't be taken. waiting: nothing is wrong with it but that it follows one that is parked.
    -- applied, discarded: it was parked, and is no more.
    state           text        NOT NULL CHECK (state IN ('parked', 'waiting', 'applied', 'discarded')),
    attempts        integer     NOT NULL DEFAULT 0,
    -- Why the last attempt failed, the outermost reason first.
    errors          text[]      NOT NULL DEFAULT '{}',
    next_attempt_at timestamptz,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, consumer, position)
);
-- One of an aggregate is parked, the first of those that wait; and its consumer is busy with nothing else of it.
CREATE UNIQUE INDEX IF NOT EXISTS letters_parked ON dead.letters (tenant_id, consumer, aggregate_type, aggregate_id)
    WHERE state = 'parked';
-- What waits behind it, in order.
CREATE INDEX IF NOT EXISTS letters_waiting ON dead.letters (tenant_id, consumer, aggregate_type, aggregate_id, position)
    WHERE state = 'waiting';
-- What a consumer tries next.
CREATE INDEX IF NOT EXISTS letters_due ON dead.letters (consumer, next_attempt_at) WHERE state = 'parked';
-- The list of a tenant, the last one first.
CREATE INDEX IF NOT EXISTS letters_list ON dead.letters (tenant_id, position DESC, consumer DESC) WHERE state <> 'waiting';
-- What is forgotten after a while.
CREATE INDEX IF NOT EXISTS letters_over ON dead.letters (consumer, changed_at) WHERE state IN ('applied', 'discarded');

-- How often a letter was tried, and what came of it; the last ones of each.
CREATE TABLE IF NOT EXISTS dead.attempts (
    tenant_id uuid        NOT NULL,
    consumer  text        NOT NULL,
    position  bigint      NOT NULL,
    attempt   integer     NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    -- None: it was taken.
    errors    text[]      NOT NULL,
    PRIMARY KEY (tenant_id, consumer, position, attempt)
);

-- What people decided, by whom and why. The last edit or discard of an event holds for its consumer, also when its read model is
-- built anew; nothing here is ever changed or forgotten.
CREATE TABLE IF NOT EXISTS dead.decisions (
    tenant_id  uuid        NOT NULL,
    consumer   text        NOT NULL,
    position   bigint      NOT NULL,
    nth        integer     NOT NULL,
    kind       text        NOT NULL CHECK (kind IN ('redrive', 'edit', 'discard')),
    actor      text        NOT NULL,
    reason     text        NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    -- Of an edit: the payload as the consumer saw it until then, and as it sees it since.
    before     text,
    after      text,
    PRIMARY KEY (tenant_id, consumer, position, nth),
    CHECK ((kind = 'edit') = (before IS NOT NULL AND after IS NOT NULL))
);
-- What a rebuild has to heed.
CREATE INDEX IF NOT EXISTS decisions_of_consumer ON dead.decisions (consumer, position) WHERE kind <> 'redrive';

-- What was done under which id, with the first answer: as for commands of the log.
CREATE TABLE IF NOT EXISTS dead.commands (
    tenant_id    uuid        NOT NULL,
    command_id   text        NOT NULL,
    request_hash bytea       NOT NULL,
    answer       bigint      NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, command_id)
);
-- What is forgotten after a while.
CREATE INDEX IF NOT EXISTS commands_age ON dead.commands (recorded_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['letters', 'attempts', 'decisions', 'commands'] LOOP
        EXECUTE format('ALTER TABLE dead.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE dead.%I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('DROP POLICY IF EXISTS consume ON dead.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON dead.%I', t);
        -- The owner builds read models anew.
        EXECUTE format('CREATE POLICY consume ON dead.%I TO inopsio_{{service}}_project, inopsio_{{service}}_deliver,
            inopsio_{{service}}_owner USING (true)', t);
        EXECUTE format('CREATE POLICY tenant ON dead.%I TO inopsio_{{service}}_configure, inopsio_{{service}}_read
            USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', t);
        -- Of tenants that are on their way to another cell, live there, or are deleted, nothing is decided here.
        EXECUTE format('DROP POLICY IF EXISTS closed_to_new ON dead.%I', t);
        EXECUTE format('CREATE POLICY closed_to_new ON dead.%I AS RESTRICTIVE FOR INSERT TO inopsio_{{service}}_configure
            WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON dead.letters TO inopsio_{{service}}_project, inopsio_{{service}}_deliver;
GRANT SELECT, INSERT, DELETE ON dead.attempts TO inopsio_{{service}}_project, inopsio_{{service}}_deliver;
GRANT SELECT ON dead.decisions TO inopsio_{{service}}_project, inopsio_{{service}}_deliver;
GRANT SELECT, UPDATE (next_attempt_at, changed_at) ON dead.letters TO inopsio_{{service}}_configure;
GRANT SELECT ON dead.attempts TO inopsio_{{service}}_configure;
GRANT SELECT, INSERT ON dead.decisions, dead.commands TO inopsio_{{service}}_configure;
GRANT SELECT (tenant_id, recorded_at), DELETE ON dead.commands TO inopsio_{{service}}_project;
GRANT SELECT ON dead.letters, dead.attempts, dead.decisions TO inopsio_{{service}}_read;
