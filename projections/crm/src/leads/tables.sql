CREATE TABLE lead (
    tenant_id       uuid        NOT NULL,
    lead_id         uuid        NOT NULL,
    version         bigint      NOT NULL,
    name            text        NOT NULL,
    company         text,
    title           text,
    email           text,
    phone           text,
    country         text,
    address         jsonb,
    source          text        NOT NULL,
    status          text        NOT NULL,
    owner           text,
    import_id       uuid,
    account_id      uuid,
    contact_id      uuid,
    opportunity_id  uuid,
    -- The reason of the current status, if that is disqualified or recycled.
    reason          text,
    captured_at     timestamptz NOT NULL,
    -- When it first reached this step or a later one, for the funnel as of any day.
    assigned_at     timestamptz,
    started_at      timestamptz,
    qualified_at    timestamptz,
    converted_at    timestamptz,
    disqualified_at timestamptz,
    withdrawn_at    timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, lead_id)
) WITH (fillfactor = 80);

-- For the order of the list, the filter by time of capture, and the cohorts of the funnel. Columns that change often are in no
-- index, so that updates of a lead stay within their page (HOT). Filters on them are checked while this index is read.
CREATE INDEX lead_by_captured_at ON lead (tenant_id, captured_at, lead_id);
CREATE INDEX lead_by_email ON lead (tenant_id, email) WHERE email IS NOT NULL;
-- For the leads of an import, also of one that is not recorded. It never changes, so it keeps updates within their page, too.
CREATE INDEX lead_by_import ON lead (tenant_id, import_id) WHERE import_id IS NOT NULL;

CREATE TABLE lead_history (
    tenant_id  uuid        NOT NULL,
    lead_id    uuid        NOT NULL,
    version    bigint      NOT NULL,
    change     text        NOT NULL,
    actor      text        NOT NULL,
    status     text        NOT NULL,
    owner      text,
    note       text,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    known_to   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, lead_id, version)
) WITH (fillfactor = 90);
