-- Proof (src/seals.rs): each tenant's Merkle tree, as far as its growing head needs it, and the heads of it that were signed.

-- Whoever seals sees where leaves are and their hashes, not what they are of. Databases of before get to know the role here.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inopsio_{{service}}_seal', current_database());
END $$;
GRANT USAGE ON SCHEMA log TO inopsio_{{service}}_seal;
CREATE POLICY seal ON log.events FOR SELECT TO inopsio_{{service}}_seal USING (true);
GRANT SELECT (tenant_id, position, leaf_hash) ON log.events TO inopsio_{{service}}_seal;
CREATE POLICY seal ON log.closed FOR SELECT TO inopsio_{{service}}_seal USING (true);
GRANT SELECT ON log.closed, log.head TO inopsio_{{service}}_seal;

CREATE TABLE log.trees (
    tenant_id uuid   PRIMARY KEY,
    size      bigint NOT NULL CHECK (size > 0),
    -- Roots of the complete subtrees, the largest first: 32 bytes for each bit that is set in size.
    peaks     bytea  NOT NULL CHECK (octet_length(peaks) % 32 = 0),
    -- How many leaves the last seal is of.
    sealed    bigint NOT NULL DEFAULT 0
);
CREATE INDEX trees_unsealed ON log.trees (tenant_id) WHERE size > sealed;

CREATE TABLE log.seals (
    tenant_id uuid        NOT NULL,
    size      bigint      NOT NULL CHECK (size > 0),
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    sealed_at timestamptz NOT NULL,
    key       text        NOT NULL,
    previous  bytea       NOT NULL CHECK (octet_length(previous) = 32),
    signature bytea       NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, size)
);

-- One row: up to where the trees have grown.
CREATE TABLE log.sealer (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO log.sealer (position) VALUES (0);

ALTER TABLE log.trees ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.trees FORCE  ROW LEVEL SECURITY;
ALTER TABLE log.seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.seals FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON log.trees TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
CREATE POLICY owner ON log.seals TO inopsio_{{service}}_owner
    USING (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[]));
CREATE POLICY seal ON log.trees TO inopsio_{{service}}_seal USING (true);
CREATE POLICY seal ON log.seals TO inopsio_{{service}}_seal USING (true);
CREATE POLICY read ON log.seals FOR SELECT TO inopsio_{{service}}_read
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));

-- What was signed stays: nobody who seals may change or take away a seal.
GRANT SELECT, INSERT, UPDATE ON log.trees TO inopsio_{{service}}_seal;
GRANT SELECT, INSERT ON log.seals TO inopsio_{{service}}_seal;
GRANT SELECT, UPDATE ON log.sealer TO inopsio_{{service}}_seal;
GRANT SELECT ON log.seals TO inopsio_{{service}}_read;
