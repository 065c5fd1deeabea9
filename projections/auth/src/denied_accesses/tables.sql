CREATE TABLE denied_access (
    tenant_id  uuid        NOT NULL,
    access_id  uuid        NOT NULL,
    version    bigint      NOT NULL,
    subject    text,
    user_id    uuid,
    reason     text        NOT NULL,
    permission text,
    operation  text,
    request_id uuid,
    at         timestamptz NOT NULL,
    times      bigint      NOT NULL,
    last_at    timestamptz NOT NULL,
    address    text,
    agent      text,
    origin     text,
    PRIMARY KEY (tenant_id, access_id)
);

-- Ids are UUIDv7: in the order in which it was first denied.
CREATE INDEX denied_access_by_subject ON denied_access (tenant_id, subject, access_id);

-- Whose they are, where somebody is told or forgotten.
CREATE INDEX denied_access_by_user ON denied_access (tenant_id, user_id, access_id) WHERE user_id IS NOT NULL;
