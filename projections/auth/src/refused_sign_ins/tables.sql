CREATE TABLE refused_sign_in (
    tenant_id  uuid        NOT NULL,
    sign_in_id uuid        NOT NULL,
    version    bigint      NOT NULL,
    user_id    uuid,
    reason     text        NOT NULL,
    at         timestamptz NOT NULL,
    address    text,
    agent      text,
    origin     text,
    PRIMARY KEY (tenant_id, sign_in_id)
);

-- Ids are UUIDv7, so they are in the order of the attempts.
CREATE INDEX refused_sign_in_by_user ON refused_sign_in (tenant_id, user_id, sign_in_id);
