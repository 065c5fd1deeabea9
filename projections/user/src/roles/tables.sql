CREATE TABLE role (
    tenant_id   uuid        NOT NULL,
    role_id     uuid        NOT NULL,
    version     bigint      NOT NULL,
    name        text        NOT NULL COLLATE "C",
    title       text        NOT NULL,
    permissions jsonb       NOT NULL,
    includes    jsonb       NOT NULL,
    retired     boolean     NOT NULL,
    defined_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, role_id)
);

-- A tenant has only tens of roles, so queries as of a time read all versions by the primary key.
CREATE TABLE role_history (
    tenant_id   uuid        NOT NULL,
    role_id     uuid        NOT NULL,
    version     bigint      NOT NULL,
    name        text        NOT NULL,
    permissions jsonb       NOT NULL,
    includes    jsonb       NOT NULL,
    retired     boolean     NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    known_from  timestamptz NOT NULL,
    known_to    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, role_id, version)
);
