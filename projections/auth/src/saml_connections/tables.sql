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
    -- No further index: queries scan the tenant's connections, of which it has only a few.
    PRIMARY KEY (tenant_id, connection_id)
) WITH (fillfactor = 85);
