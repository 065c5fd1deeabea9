CREATE TABLE api_key (
    tenant_id       uuid        NOT NULL,
    api_key_id      uuid        NOT NULL,
    version         bigint      NOT NULL,
    machine_id      uuid        NOT NULL,
    name            text        NOT NULL,
    scopes          jsonb       NOT NULL,
    expires_at      timestamptz,
    last_used_at    timestamptz,
    last_refused_at timestamptz,
    last_refusal    text,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, api_key_id)
) WITH (fillfactor = 85);

CREATE INDEX api_key_of_machine ON api_key (tenant_id, machine_id, api_key_id);
