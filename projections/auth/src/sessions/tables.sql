CREATE TABLE session (
    tenant_id    uuid        NOT NULL,
    session_id   uuid        NOT NULL,
    version      bigint      NOT NULL,
    user_id      uuid        NOT NULL,
    methods      jsonb       NOT NULL,
    started_at   timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL,
    used_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    address      text,
    agent        text,
    ended_at     timestamptz,
    end_reason   text,
    era          bigint,
    PRIMARY KEY (tenant_id, session_id)
) WITH (fillfactor = 85);

-- Ids are UUIDv7, so they are in the order in which sessions began.
CREATE INDEX session_by_user ON session (tenant_id, user_id, session_id);

-- When all sessions of a user were ended that had begun by then or, if eras were counted, in that era or earlier.
CREATE TABLE sessions_ended (
    tenant_id uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    version   bigint      NOT NULL,
    ended_at  timestamptz NOT NULL,
    reason    text        NOT NULL,
    era       bigint,
    PRIMARY KEY (tenant_id, user_id)
);
