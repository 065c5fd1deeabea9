CREATE TABLE account (
    tenant_id  uuid        NOT NULL,
    account_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    name       text        NOT NULL COLLATE "C",
    website    text,
    industry   text,
    country    text,
    employees  bigint,
    owner      text,
    lead_id    uuid,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id)
) WITH (fillfactor = 85);

-- Names are in byte order, which is the same on every machine, so that a cursor is valid on all of them.
CREATE INDEX account_by_name ON account (tenant_id, name, account_id);
CREATE INDEX account_by_created_at ON account (tenant_id, created_at, account_id);

CREATE TABLE account_word (
    tenant_id  uuid NOT NULL,
    word       text NOT NULL COLLATE "C",
    account_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, word, account_id)
);

CREATE TABLE account_history (
    tenant_id  uuid        NOT NULL,
    account_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    change     text        NOT NULL,
    actor      text        NOT NULL,
    owner      text,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    known_to   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id, version)
) WITH (fillfactor = 90);
