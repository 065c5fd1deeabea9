CREATE TABLE saml_connection (
    tenant_id     uuid        NOT NULL,
    connection_id uuid        NOT NULL,
    version       bigint      NOT NULL,
    name          text        NOT NULL,
    entity_id     text        NOT NULL,
    domains       jsonb       NOT NULL,
    active        boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    -- A tenant has a few: whatever is asked about them goes through all of its own.
    PRIMARY KEY (tenant_id, connection_id)
) WITH (fillfactor = 85);
