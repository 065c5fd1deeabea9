CREATE TABLE machine (
    tenant_id  uuid        NOT NULL,
    machine_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    name       text        NOT NULL COLLATE "C",
    roles      jsonb       NOT NULL,
    has_secret boolean     NOT NULL,
    keys       bigint      NOT NULL,
    active     boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, machine_id)
) WITH (fillfactor = 85);

CREATE INDEX machine_by_name ON machine (tenant_id, name, machine_id);
