CREATE TABLE client (
    tenant_id     uuid        NOT NULL,
    client_id     uuid        NOT NULL,
    version       bigint      NOT NULL,
    name          text        NOT NULL COLLATE "C",
    confidential  boolean     NOT NULL,
    trusted       boolean     NOT NULL,
    redirect_uris jsonb       NOT NULL,
    has_secret    boolean     NOT NULL,
    keys          bigint      NOT NULL,
    active        boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, client_id)
) WITH (fillfactor = 85);

CREATE INDEX client_by_name ON client (tenant_id, name, client_id);
