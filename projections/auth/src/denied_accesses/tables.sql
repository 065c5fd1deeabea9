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

-- Ids are UUIDv7, so they are in the order of the first denials.
CREATE INDEX denied_access_by_subject ON denied_access (tenant_id, subject, access_id);

-- By user, for exports of personal data and erasures.
CREATE INDEX denied_access_by_user ON denied_access (tenant_id, user_id, access_id) WHERE user_id IS NOT NULL;
