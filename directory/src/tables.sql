-- The tables of the directory, which {{role}} uses. All statements can be run repeatedly.

-- Suppresses the notices "… already exists, skipping".
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
-- The cell in which the tenant lives; null if there was only one.
ALTER TABLE tenants ADD COLUMN IF NOT EXISTS cell text;
-- The events of tenants' places, in order; `cell` is the tenant's new cell, if the event changes it.
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
-- The verified domains of tenants; `claim_id` is the claim in the DNS record. A domain belongs to only one tenant of the installation.
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
