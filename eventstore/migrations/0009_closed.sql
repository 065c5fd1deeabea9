-- Tenants for whom nothing may be written here: they are on their way to another cell, or live there. Appends are refused by Postgres
-- itself, whichever process sends them; whoever works for all tenants (jobs, webhooks, sagas) passes these over.
CREATE TABLE log.closed (
    tenant_id uuid        PRIMARY KEY,
    -- paused: on its way out; all can be read. left: it lives elsewhere, and what is here is an old copy. arriving: it is not whole here.
    state     text        NOT NULL CHECK (state IN ('paused', 'left', 'arriving')),
    -- The other cell.
    cell      text        NOT NULL,
    -- A pause ends by itself, should whoever made it be lost.
    until     timestamptz NOT NULL DEFAULT 'infinity',
    since     timestamptz NOT NULL DEFAULT now(),
    -- Up to here it was looked whether events begin sagas; what came later was passed over, and is looked at where the tenant lives then.
    looked    bigint
);
ALTER TABLE log.closed ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.closed FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON log.closed TO inopsio_{{service}}_owner USING (true);
CREATE POLICY known ON log.closed FOR SELECT TO
    inopsio_{{service}}_append, inopsio_{{service}}_read, inopsio_{{service}}_follow, inopsio_{{service}}_project,
    inopsio_{{service}}_configure, inopsio_{{service}}_deliver, inopsio_{{service}}_queue, inopsio_{{service}}_work USING (true);
CREATE POLICY looking ON log.closed FOR UPDATE TO inopsio_{{service}}_project USING (true);
GRANT UPDATE (looked) ON log.closed TO inopsio_{{service}}_project;
GRANT USAGE ON SCHEMA log TO
    inopsio_{{service}}_configure, inopsio_{{service}}_deliver, inopsio_{{service}}_queue, inopsio_{{service}}_work;
GRANT SELECT ON log.closed TO
    inopsio_{{service}}_append, inopsio_{{service}}_read, inopsio_{{service}}_follow, inopsio_{{service}}_project,
    inopsio_{{service}}_configure, inopsio_{{service}}_deliver, inopsio_{{service}}_queue, inopsio_{{service}}_work;

-- For policies: as a sub-select it is asked once a statement.
CREATE FUNCTION log.closed_now() RETURNS uuid[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(c.tenant_id), '{}') FROM log.closed c WHERE c.until > clock_timestamp()
$$;

-- Each append notes its command, so this is the one gate. It is closed under the lock that every append holds: what is seen of the log
-- after that is all there will be.
CREATE POLICY closed ON log.commands AS RESTRICTIVE FOR INSERT TO inopsio_{{service}}_owner
    WITH CHECK ((tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE);

-- History that came from another cell is the tenant's own: as in a log that was restored, its sagas go on, and what happened begins none
-- a second time.
ALTER TABLE log.copied ADD COLUMN moved boolean NOT NULL DEFAULT false;
CREATE POLICY read ON log.copied FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT ON log.copied TO inopsio_{{service}}_read;
