CREATE TABLE domain (
    tenant_id      uuid        NOT NULL,
    domain_id      uuid        NOT NULL,
    version        bigint      NOT NULL,
    domain         text        NOT NULL COLLATE "C",
    verified_at    timestamptz,
    missing_since  timestamptz,
    released       boolean     NOT NULL,
    claimed_at     timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, domain_id)
);
CREATE INDEX domain_by_name ON domain (tenant_id, domain, domain_id) WHERE NOT released;
