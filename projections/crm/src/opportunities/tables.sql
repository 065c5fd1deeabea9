CREATE TABLE opportunity (
    tenant_id      uuid        NOT NULL,
    opportunity_id uuid        NOT NULL,
    version        bigint      NOT NULL,
    name           text        NOT NULL,
    account_id     uuid,
    contact_id     uuid,
    pipeline_id    uuid        NOT NULL,
    stage_id       uuid        NOT NULL,
    status         text        NOT NULL,
    amount_minor   bigint      NOT NULL,
    currency       text        NOT NULL,
    close_date     date        NOT NULL,
    owner          text,
    lead_id        uuid,
    lost_reason    text,
    line_items     jsonb       NOT NULL,
    opened_at      timestamptz NOT NULL,
    -- Since when it is in its stage.
    stage_since    timestamptz NOT NULL,
    closed_at      timestamptz,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, opportunity_id)
) WITH (fillfactor = 80);

CREATE INDEX opportunity_by_opened_at ON opportunity (tenant_id, opened_at, opportunity_id);
CREATE INDEX opportunity_by_close_date ON opportunity (tenant_id, close_date, opportunity_id);
CREATE INDEX opportunity_by_amount ON opportunity (tenant_id, amount_minor, opportunity_id);
CREATE INDEX opportunity_by_account ON opportunity (tenant_id, account_id, opened_at, opportunity_id);

CREATE TABLE opportunity_history (
    tenant_id      uuid        NOT NULL,
    opportunity_id uuid        NOT NULL,
    version        bigint      NOT NULL,
    change         text        NOT NULL,
    pipeline_id    uuid        NOT NULL,
    stage_id       uuid        NOT NULL,
    status         text        NOT NULL,
    amount_minor   bigint      NOT NULL,
    currency       text        NOT NULL,
    close_date     date        NOT NULL,
    owner          text,
    valid_from     timestamptz NOT NULL,
    valid_to       timestamptz NOT NULL,
    known_from     timestamptz NOT NULL,
    known_to       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, opportunity_id, version)
) WITH (fillfactor = 85);

-- The board as of a day: versions of open deals that ended after it. Deals that were closed long ago are not in this range, so the query
-- reads as much as the board has, not the whole history. A query with knownAt reads all entries of the pipeline and filters.
CREATE INDEX opportunity_history_board ON opportunity_history (tenant_id, pipeline_id, valid_to) WHERE status = 'open';
-- The movements between two days. The index does not begin with the tenant, which the pipeline determines anyway: while Postgres has no
-- statistics of a tenant, it would take any index that begins with the tenant for as good as the key for finding one version.
CREATE INDEX opportunity_history_movement ON opportunity_history (pipeline_id, valid_from);
