-- Jobs. {{service}} is the service's name; everything here belongs to inopsio_{{service}}_owner. May be run again.
--
-- Four who come here: `queue` asks for its tenant's jobs, sees and cancels them; `work` runs those of all tenants; `read` sees its
-- tenant's, for queries; `backup` takes out what tenants set up, and what is open.

DO $$ BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_queue, inopsio_{{service}}_work, inopsio_{{service}}_read', current_database());
END $$;
CREATE SCHEMA IF NOT EXISTS jobs;
GRANT USAGE ON SCHEMA jobs TO inopsio_{{service}}_queue, inopsio_{{service}}_work, inopsio_{{service}}_read;

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
ALTER TABLE jobs.jobs
    -- Limits and pauses are of a queue; each kind has one.
    ADD COLUMN IF NOT EXISTS queue       text NOT NULL DEFAULT 'default',
    -- Of those that were not given up a tenant has one of this key, also when it is over.
    ADD COLUMN IF NOT EXISTS period_key  text,
    ADD COLUMN IF NOT EXISTS batch_id    uuid,
    -- Which schedule asked for it, for which of its times.
    ADD COLUMN IF NOT EXISTS schedule_id uuid,
    ADD COLUMN IF NOT EXISTS slot        timestamptz,
    -- What it works on, where that is a file: so many parts came with it.
    ADD COLUMN IF NOT EXISTS inputs      integer NOT NULL DEFAULT 0,
    -- That file was removed before the job was done: it can't be retried.
    ADD COLUMN IF NOT EXISTS input_forgotten boolean NOT NULL DEFAULT false;
-- Keys say themselves whether they are a kind's or a queue's.
DROP INDEX IF EXISTS jobs.jobs_unique;
CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique_key ON jobs.jobs (tenant_id, unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running');
CREATE UNIQUE INDEX IF NOT EXISTS jobs_period_key ON jobs.jobs (tenant_id, period_key)
    WHERE period_key IS NOT NULL AND state NOT IN ('cancelled', 'discarded');
CREATE UNIQUE INDEX IF NOT EXISTS jobs_slot ON jobs.jobs (tenant_id, schedule_id, slot) WHERE schedule_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_batch ON jobs.jobs (tenant_id, batch_id) WHERE batch_id IS NOT NULL;
-- Whose turn it is, in which of their queues, and which comes first there.
DROP INDEX IF EXISTS jobs.jobs_waiting;
CREATE INDEX IF NOT EXISTS jobs_in_queue ON jobs.jobs (tenant_id, queue, run_at, job_id) INCLUDE (kind) WHERE state = 'waiting';
-- When the next one falls due.
CREATE INDEX IF NOT EXISTS jobs_due ON jobs.jobs (run_at) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS jobs_leased ON jobs.jobs (leased_until) WHERE state = 'running';
-- Few run at a time: those of one queue and all tenants are found by reading all of it.
DROP INDEX IF EXISTS jobs.jobs_running;
CREATE INDEX IF NOT EXISTS jobs_running_in ON jobs.jobs (tenant_id, queue) WHERE state = 'running';
-- What failed for good is kept longer than the rest.
DROP INDEX IF EXISTS jobs.jobs_finished;
CREATE INDEX IF NOT EXISTS jobs_over ON jobs.jobs (finished_at) WHERE state IN ('completed', 'cancelled');
CREATE INDEX IF NOT EXISTS jobs_discarded ON jobs.jobs (finished_at) WHERE state = 'discarded';

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

-- What a job works on, where that is a file: removed as soon as it is done.
CREATE TABLE IF NOT EXISTS jobs.inputs (
    tenant_id uuid    NOT NULL,
    job_id    uuid    NOT NULL,
    part      integer NOT NULL,
    bytes     bytea   NOT NULL,
    PRIMARY KEY (tenant_id, job_id, part)
);

-- How much of a queue runs, for one tenant, or (tenant 0) for all of them together. No row: no limit.
CREATE TABLE IF NOT EXISTS jobs.queues (
    tenant_id    uuid        NOT NULL,
    queue        text        NOT NULL,
    paused_at    timestamptz,
    concurrency  integer     CHECK (concurrency > 0),
    -- So many begin in so many seconds, evenly.
    rate_count   integer     CHECK (rate_count > 0),
    rate_seconds integer     CHECK (rate_seconds > 0),
    -- Not before then, for the rate's sake. By this server's clock.
    ready_at     timestamptz,
    changed_by   text        NOT NULL,
    changed_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, queue),
    CHECK ((rate_count IS NULL) = (rate_seconds IS NULL))
) WITH (fillfactor = 50);

-- What is asked for again and again. By this server's clock, not by the workers'.
CREATE TABLE IF NOT EXISTS jobs.schedules (
    tenant_id   uuid        NOT NULL,
    schedule_id uuid        NOT NULL,
    kind        text        NOT NULL,
    queue       text        NOT NULL,
    arguments   jsonb       NOT NULL,
    actor       text        NOT NULL,
    cron        text        NOT NULL,
    time_zone   text        NOT NULL,
    -- Whether a time counts that comes while the last job is still open.
    overlap     boolean     NOT NULL,
    -- The time that comes next; none: paused.
    next_at     timestamptz,
    last_at     timestamptz,
    last_job    uuid,
    skipped     bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    changed_by  text        NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, schedule_id)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS schedules_due ON jobs.schedules (next_at) WHERE next_at IS NOT NULL;

-- Jobs that belong together, and what is asked for once when all of them are over.
CREATE TABLE IF NOT EXISTS jobs.batches (
    tenant_id      uuid        NOT NULL,
    batch_id       uuid        NOT NULL,
    actor          text        NOT NULL,
    total          integer     NOT NULL,
    completed      integer     NOT NULL DEFAULT 0,
    cancelled      integer     NOT NULL DEFAULT 0,
    discarded      integer     NOT NULL DEFAULT 0,
    then_job       uuid,
    then_kind      text,
    then_queue     text,
    then_arguments jsonb,
    then_attempts  integer,
    -- Whether that was asked for.
    followed       boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    PRIMARY KEY (tenant_id, batch_id)
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS batches_finished ON jobs.batches (finished_at) WHERE finished_at IS NOT NULL;

-- Whoever ends a job, or takes it up again, counts it here: handlers, people, the rescue of what was lost. The batch's row is
-- locked by the first of two that end at once, so one of them, and only one, is the last.
CREATE OR REPLACE FUNCTION jobs.count_in_batch() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    batch jobs.batches;
BEGIN
    UPDATE jobs.batches b
    SET completed = b.completed + (NEW.state = 'completed')::integer - (OLD.state = 'completed')::integer,
        cancelled = b.cancelled + (NEW.state = 'cancelled')::integer - (OLD.state = 'cancelled')::integer,
        discarded = b.discarded + (NEW.state = 'discarded')::integer - (OLD.state = 'discarded')::integer
    WHERE b.tenant_id = NEW.tenant_id AND b.batch_id = NEW.batch_id
    RETURNING b.* INTO batch;
    IF batch.total > batch.completed + batch.cancelled + batch.discarded THEN
        UPDATE jobs.batches b SET finished_at = NULL
        WHERE b.tenant_id = NEW.tenant_id AND b.batch_id = NEW.batch_id AND b.finished_at IS NOT NULL;
        RETURN NULL;
    END IF;
    UPDATE jobs.batches b SET finished_at = NEW.finished_at, followed = true
    WHERE b.tenant_id = NEW.tenant_id AND b.batch_id = NEW.batch_id;
    IF batch.then_job IS NOT NULL AND NOT batch.followed THEN
        INSERT INTO jobs.jobs (tenant_id, job_id, kind, queue, arguments, actor, state, run_at, max_attempts, created_at)
        VALUES (batch.tenant_id, batch.then_job, batch.then_kind, batch.then_queue, batch.then_arguments, batch.actor,
            'waiting', clock_timestamp(), batch.then_attempts, clock_timestamp());
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER count_in_batch AFTER UPDATE OF state ON jobs.jobs FOR EACH ROW
    WHEN (NEW.batch_id IS NOT NULL AND OLD.state <> NEW.state AND (OLD.finished_at IS NOT NULL OR NEW.finished_at IS NOT NULL))
    EXECUTE FUNCTION jobs.count_in_batch();

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
    FOREACH t IN ARRAY ARRAY['jobs', 'turns', 'lines', 'parts', 'inputs', 'commands', 'queues', 'schedules', 'batches'] LOOP
        EXECUTE format('ALTER TABLE jobs.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE jobs.%I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON jobs.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS work ON jobs.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS owner ON jobs.%I', t);
        EXECUTE format('CREATE POLICY tenant ON jobs.%I TO inopsio_{{service}}_queue, inopsio_{{service}}_read
            USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', t);
        EXECUTE format('CREATE POLICY work ON jobs.%I TO inopsio_{{service}}_work USING (true)', t);
        -- What an append asks for: as for the log, the tenants of its batch.
        EXECUTE format('CREATE POLICY owner ON jobs.%I TO inopsio_{{service}}_owner
            USING ((tenant_id = ANY ((SELECT nullif(current_setting(''app.tenant_ids'', true), '''')::uuid[])::uuid[])) IS TRUE)', t);
        -- Tenants that are on their way to another cell, live there, or are deleted: nobody works for them here, and nothing new is asked for.
        EXECUTE format('DROP POLICY IF EXISTS closed ON jobs.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS closed_to_new ON jobs.%I', t);
        EXECUTE format('DROP POLICY IF EXISTS closed_to_change ON jobs.%I', t);
        EXECUTE format('CREATE POLICY closed ON jobs.%I AS RESTRICTIVE TO inopsio_{{service}}_work
            USING ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        EXECUTE format('CREATE POLICY closed_to_new ON jobs.%I AS RESTRICTIVE FOR INSERT TO inopsio_{{service}}_queue
            WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        EXECUTE format('CREATE POLICY closed_to_change ON jobs.%I AS RESTRICTIVE FOR UPDATE TO inopsio_{{service}}_queue
            USING (true) WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE)', t);
        -- Nor is anything of a tenant that is at its end. What an append asks for is asked for before that, or not at all.
        PERFORM log.guard(format('jobs.%I', t)::regclass, true);
    END LOOP;
END $$;

GRANT SELECT, INSERT ON jobs.jobs TO inopsio_{{service}}_queue;
GRANT UPDATE (state, run_at, attempt, cancel_requested_at, finished_at, code, reason, log_lines) ON jobs.jobs TO inopsio_{{service}}_queue;
GRANT SELECT, INSERT ON jobs.turns, jobs.lines, jobs.commands TO inopsio_{{service}}_queue;
GRANT UPDATE (job_id) ON jobs.commands TO inopsio_{{service}}_queue;
GRANT SELECT ON jobs.parts TO inopsio_{{service}}_queue;
GRANT INSERT ON jobs.inputs TO inopsio_{{service}}_queue;
GRANT SELECT, INSERT ON jobs.queues, jobs.schedules, jobs.batches TO inopsio_{{service}}_queue;
GRANT UPDATE (paused_at, concurrency, rate_count, rate_seconds, ready_at, changed_by, changed_at) ON jobs.queues TO inopsio_{{service}}_queue;
GRANT DELETE, UPDATE (arguments, cron, time_zone, overlap, next_at, changed_by, changed_at) ON jobs.schedules TO inopsio_{{service}}_queue;
GRANT UPDATE (completed, cancelled, discarded, followed, finished_at) ON jobs.batches TO inopsio_{{service}}_queue;
GRANT SELECT ON jobs.jobs, jobs.lines, jobs.queues, jobs.schedules, jobs.batches TO inopsio_{{service}}_read;

GRANT SELECT, INSERT, DELETE, UPDATE (state, run_at, attempt, lease, leased_until, checkpoint, progress_done, progress_total, parts,
    inputs, input_forgotten, log_lines, result, code, reason, started_at, finished_at) ON jobs.jobs TO inopsio_{{service}}_work;
GRANT SELECT, INSERT, UPDATE (turn) ON jobs.turns TO inopsio_{{service}}_work;
GRANT USAGE ON SEQUENCE jobs.turn TO inopsio_{{service}}_work;
GRANT SELECT, INSERT, DELETE ON jobs.lines, jobs.parts TO inopsio_{{service}}_work;
GRANT SELECT, DELETE ON jobs.commands TO inopsio_{{service}}_work;
GRANT SELECT, DELETE ON jobs.inputs TO inopsio_{{service}}_work;
GRANT SELECT, INSERT, UPDATE (paused_at, concurrency, rate_count, rate_seconds, ready_at, changed_by, changed_at) ON jobs.queues
    TO inopsio_{{service}}_work;
GRANT SELECT, UPDATE (next_at, last_at, last_job, skipped) ON jobs.schedules TO inopsio_{{service}}_work;
GRANT SELECT, DELETE, UPDATE (completed, cancelled, discarded, followed, finished_at) ON jobs.batches TO inopsio_{{service}}_work;

-- A batch of appends with jobs that are asked for in the same transaction (j_*; j_append: by which of the appends, from 1). It answers
-- what log.append does; jobs of appends that were not written are not there either.
CREATE OR REPLACE FUNCTION jobs.append(
    p_tenants       uuid[],
    p_recorded_at   timestamptz,
    a_tenant        uuid[],
    a_command       text[],
    a_hash          bytea[],
    a_answer        text[],
    a_events        integer[],
    s_append        integer[],
    s_type          text[],
    s_id            text[],
    s_expected      bigint[],
    c_append        integer[],
    c_kind          text[],
    c_key           bytea[],
    c_holder        text[],
    c_act           text[],
    e_append        integer[],
    e_nth           integer[],
    e_type          text[],
    e_id            text[],
    e_sequence      bigint[],
    e_event_id      uuid[],
    e_event_type    text[],
    e_event_version text[],
    e_payload       text[],
    e_metadata      text[],
    e_occurred_at   timestamptz[],
    e_leaf_hash     bytea[],
    j_append        integer[],
    j_id            uuid[],
    j_kind          text[],
    j_queue         text[],
    j_unique_key    text[],
    j_period_key    text[],
    j_arguments     text[],
    j_actor         text[],
    j_run_at        timestamptz[],
    j_max_attempts  integer[]
) RETURNS TABLE (append integer, verdict text, a bigint, b bigint, x text, y text, t timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_refused boolean[] := array_fill(false, ARRAY[cardinality(a_tenant)]);
    v_written boolean := false;
    r         record;
BEGIN
    FOR r IN SELECT l.* FROM log.append(
        p_tenants, p_recorded_at, a_tenant, a_command, a_hash, a_answer, a_events, s_append, s_type, s_id, s_expected,
        c_append, c_kind, c_key, c_holder, c_act, e_append, e_nth, e_type, e_id, e_sequence, e_event_id, e_event_type,
        e_event_version, e_payload, e_metadata, e_occurred_at, e_leaf_hash
    ) l LOOP
        append := r.append; verdict := r.verdict; a := r.a; b := r.b; x := r.x; y := r.y; t := r.t;
        RETURN NEXT;
        IF r.append > 0 THEN
            v_refused[r.append] := true;
        ELSIF r.verdict = 'head' THEN
            v_written := true;
        END IF;
    END LOOP;
    IF NOT v_written THEN
        RETURN;
    END IF;
    INSERT INTO jobs.turns (tenant_id)
    SELECT DISTINCT a_tenant[j.nth] FROM unnest(j_append) AS j (nth) WHERE NOT v_refused[j.nth]
    ON CONFLICT DO NOTHING;
    INSERT INTO jobs.jobs (tenant_id, job_id, kind, queue, unique_key, period_key, arguments, actor, state, run_at, max_attempts,
        created_at)
    SELECT a_tenant[j.nth], j.id, j.kind, j.queue, j.unique_key, j.period_key, j.arguments::jsonb, j.actor, 'waiting',
        coalesce(j.run_at, clock_timestamp()), j.max_attempts, clock_timestamp()
    FROM unnest(j_append, j_id, j_kind, j_queue, j_unique_key, j_period_key, j_arguments, j_actor, j_run_at, j_max_attempts)
        AS j (nth, id, kind, queue, unique_key, period_key, arguments, actor, run_at, max_attempts)
    WHERE NOT v_refused[j.nth]
    ON CONFLICT DO NOTHING;
END $$;
DO $$
DECLARE
    f regprocedure;
BEGIN
    SELECT p.oid INTO STRICT f FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'jobs' AND p.proname = 'append';
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO inopsio_{{service}}_append', f);
END $$;
GRANT USAGE ON SCHEMA jobs TO inopsio_{{service}}_append;

-- Backups have no files of jobs, nor what their logs say.
GRANT USAGE ON SCHEMA jobs TO inopsio_{{service}}_backup;
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['queues', 'schedules', 'turns', 'batches', 'jobs'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS backup ON jobs.%I', t);
        EXECUTE format('CREATE POLICY backup ON jobs.%I FOR SELECT TO inopsio_{{service}}_backup USING (true)', t);
        EXECUTE format('GRANT SELECT ON jobs.%I TO inopsio_{{service}}_backup', t);
    END LOOP;
END $$;
