-- The table is not called `group`, which is a keyword of SQL.
CREATE TABLE user_group (
    tenant_id   uuid        NOT NULL,
    group_id    uuid        NOT NULL,
    version     bigint      NOT NULL,
    name        text        NOT NULL COLLATE "C",
    external_id text        COLLATE "C",
    roles       jsonb       NOT NULL,
    dissolved   boolean     NOT NULL,
    created_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, group_id)
);
CREATE INDEX user_group_by_name ON user_group (tenant_id, name, group_id);
CREATE INDEX user_group_by_external_id ON user_group (tenant_id, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE user_group_history (
    tenant_id  uuid        NOT NULL,
    group_id   uuid        NOT NULL,
    version    bigint      NOT NULL,
    roles      jsonb       NOT NULL,
    dissolved  boolean     NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    known_to   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, group_id, version)
);
