CREATE TABLE contact (
    tenant_id  uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    name       text        NOT NULL COLLATE "C",
    title      text,
    email      text,
    phone      text,
    address    jsonb,
    account_id uuid,
    owner      text,
    lead_id    uuid,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    erased_at  timestamptz,
    PRIMARY KEY (tenant_id, contact_id)
) WITH (fillfactor = 85);

-- Names are in byte order, which is the same on every machine, so that a cursor is valid on all of them.
CREATE INDEX contact_by_name ON contact (tenant_id, name, contact_id);
CREATE INDEX contact_by_created_at ON contact (tenant_id, created_at, contact_id);
CREATE INDEX contact_by_account ON contact (tenant_id, account_id, created_at, contact_id);
CREATE INDEX contact_by_email ON contact (tenant_id, email) WHERE email IS NOT NULL;

CREATE TABLE contact_word (
    tenant_id  uuid NOT NULL,
    word       text NOT NULL COLLATE "C",
    contact_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, word, contact_id)
);

CREATE TABLE contact_history (
    tenant_id  uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    change     text        NOT NULL,
    actor      text        NOT NULL,
    account_id uuid,
    owner      text,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    known_to   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id, version)
) WITH (fillfactor = 90);
