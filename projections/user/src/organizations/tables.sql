CREATE TABLE organization (
    tenant_id       uuid        NOT NULL,
    organization_id uuid        NOT NULL,
    version         bigint      NOT NULL,
    name            text        NOT NULL COLLATE "C",
    parent_id       uuid,
    closed          boolean     NOT NULL,
    created_at      timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, organization_id)
);
CREATE INDEX organization_by_name ON organization (tenant_id, name, organization_id);
CREATE INDEX organization_by_parent ON organization (tenant_id, parent_id, name, organization_id) WHERE parent_id IS NOT NULL;
