-- The tables of the directory, as {{role}} uses them. All of it may run again.

-- "… already exists, skipping" is what this is for, not news.
SET client_min_messages = warning;

CREATE TABLE IF NOT EXISTS tenants (
    tenant_id  uuid PRIMARY KEY,
    slug       text NOT NULL UNIQUE,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);
ALTER TABLE tenants ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'active';
ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_status_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
    CHECK (status IN ('reserved', 'active', 'suspended', 'deleting'));
-- In which cell it lives; null: there was only one.
ALTER TABLE tenants ADD COLUMN IF NOT EXISTS cell text;
-- What happened to tenants' places, in order; `cell`: where it lives from then on, if that changed.
CREATE TABLE IF NOT EXISTS placements (
    position    bigint PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    sequence    bigint NOT NULL,
    event       jsonb NOT NULL,
    cell        text,
    recorded_at timestamptz NOT NULL,
    UNIQUE (tenant_id, sequence)
);
GRANT SELECT, INSERT ON placements TO {{role}};
-- Domains that tenants have shown to be their own; claim_id: what the record of the claim says. One tenant each in all of the
-- installation.
CREATE TABLE IF NOT EXISTS domains (
    domain      text PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    claim_id    uuid NOT NULL,
    verified_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON domains TO {{role}};
GRANT UPDATE (cell) ON tenants TO {{role}};
REVOKE ALL ON DATABASE {{database}} FROM PUBLIC;
GRANT CONNECT ON DATABASE {{database}} TO {{role}};
GRANT SELECT, INSERT, DELETE, UPDATE (status) ON tenants TO {{role}};
