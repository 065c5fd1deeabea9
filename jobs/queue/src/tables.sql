-- Jobs. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner. May be run again.
--
-- Two who come here: `queue` asks for its tenant's jobs, sees and cancels them; `work` runs those of all tenants.

DO $$ BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_queue, inopsio_{{service}}_work', current_database());
END $$;
CREATE SCHEMA IF NOT EXISTS jobs;
GRANT USAGE ON SCHEMA jobs TO inopsio_{{service}}_queue, inopsio_{{service}}_work;

CREATE TABLE IF NOT EXISTS jobs.jobs (
    tenant_id           uuid        NOT NULL,
    -- A UUID of version 7: sorts by the time it was asked for.
    job_id              uuid        NOT NULL,
    kind                text        NOT NULL,
    -- Of those that are open a tenant has one of a kind and key.
    unique_key          text,
    arguments           jsonb       NOT NULL,
    -- In whose name.
    actor               text        NOT NULL,
    state               text        NOT NULL CHECK (state IN ('waiting', 'running', 'completed', 'cancelled', 'discarded')),
    run_at              timestamptz NOT NULL,
    -- How often it was begun.
    attempt             integer     NOT NULL DEFAULT 0,
    max_attempts        integer     NOT NULL,
    -- Whoever runs it holds this; every write of theirs asks for it. By this server's clock, not by the workers'.
    lease               uuid,
    leased_until        timestamptz,
    cancel_requested_at timestamptz,
    -- Where the handler was: the next attempt goes on there.
    checkpoint          jsonb,
    progress_done       bigint      NOT NULL DEFAULT 0,
    progress_total      bigint,
    parts               integer     NOT NULL DEFAULT 0,
    log_lines           integer     NOT NULL DEFAULT 0,
    result              jsonb,
    -- Of the last attempt that failed.
    code                text,
    reason              text,
    created_at          timestamptz NOT NULL,
    started_at          timestamptz,
    finished_at         timestamptz,
    PRIMARY KEY (tenant_id, job_id),
    CHECK ((state = 'running') = (lease IS NOT NULL) AND (lease IS NULL) = (leased_until IS NULL)),
    CHECK ((state IN ('completed', 'cancelled', 'discarded')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique ON jobs.jobs (tenant_id, kind, unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running');
-- Whose turn it is, and which of theirs comes first.
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs.jobs (tenant_id, run_at, job_id) INCLUDE (kind) WHERE state = 'waiting';
-- When the next one falls due.
CREATE INDEX IF NOT EXISTS jobs_due ON jobs.jobs (run_at) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS jobs_leased ON jobs.jobs (leased_until) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS jobs_running ON jobs.jobs (tenant_id) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS jobs_finished ON jobs.jobs (finished_at) WHERE finished_at IS NOT NULL;

-- Who was served when: the tenant with the lowest turn comes next.
CREATE SEQUENCE IF NOT EXISTS jobs.turn;
CREATE TABLE IF NOT EXISTS jobs.turns (
    tenant_id uuid   PRIMARY KEY,
    turn      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS jobs.lines (
    tenant_id uuid        NOT NULL,
    job_id    uuid        NOT NULL,
    line      integer     NOT NULL,
    at        timestamptz NOT NULL,
    attempt   integer     NOT NULL,
    message   text        NOT NULL,
    PRIMARY KEY (tenant_id, job_id, line)
);

-- What a job made, part by part.
CREATE TABLE IF NOT EXISTS jobs.parts (
    tenant_id uuid    NOT NULL,
    job_id    uuid    NOT NULL,
    part      integer NOT NULL,
    bytes     bytea   NOT NULL,
    PRIMARY KEY (tenant_id, job_id, part)
);

-- What was asked for under which id: as for commands of the log.
CREATE TABLE IF NOT EXISTS jobs.commands (
    tenant_id    uuid        NOT NULL,
    command_id   text        NOT NULL,
    request_hash bytea       NOT NULL,
    job_id       uuid        NOT NULL,
    recorded_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);
CREATE INDEX IF NOT EXISTS commands_age ON jobs.commands (recorded_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['jobs', 'turns', 'lines', 'parts', 'commands'] LOOP
        EXECUTE format('ALTER TABLE jobs.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE jobs.%I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON jobs.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS work ON jobs.%I', t);
        EXECUTE format('CREATE POLICY tenant ON jobs.%I TO inopsio_{{service}}_queue
            USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', t);
        EXECUTE format('CREATE POLICY work ON jobs.%I TO inopsio_{{service}}_work USING (true)', t);
    END LOOP;
END $$;

GRANT SELECT, INSERT ON jobs.jobs TO inopsio_{{service}}_queue;
GRANT UPDATE (state, run_at, attempt, cancel_requested_at, finished_at, code, reason, log_lines) ON jobs.jobs TO inopsio_{{service}}_queue;
GRANT SELECT, INSERT ON jobs.turns, jobs.lines, jobs.commands TO inopsio_{{service}}_queue;
GRANT UPDATE (job_id) ON jobs.commands TO inopsio_{{service}}_queue;
GRANT SELECT ON jobs.parts TO inopsio_{{service}}_queue;

GRANT SELECT, DELETE, UPDATE (state, run_at, attempt, lease, leased_until, checkpoint, progress_done, progress_total, parts,
    log_lines, result, code, reason, started_at, finished_at) ON jobs.jobs TO inopsio_{{service}}_work;
GRANT SELECT, UPDATE (turn) ON jobs.turns TO inopsio_{{service}}_work;
GRANT USAGE ON SEQUENCE jobs.turn TO inopsio_{{service}}_work;
GRANT SELECT, INSERT, DELETE ON jobs.lines, jobs.parts TO inopsio_{{service}}_work;
GRANT SELECT, DELETE ON jobs.commands TO inopsio_{{service}}_work;
