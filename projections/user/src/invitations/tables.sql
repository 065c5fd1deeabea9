CREATE TABLE invitation (
    tenant_id     uuid        NOT NULL,
    invitation_id uuid        NOT NULL,
    version       bigint      NOT NULL,
    status        text        NOT NULL,
    email         text        NOT NULL,
    name          text,
    roles         jsonb       NOT NULL,
    groups        jsonb       NOT NULL,
    invited_by    text        NOT NULL,
    expires_at    timestamptz NOT NULL,
    user_id       uuid,
    sent_at       timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invitation_id)
);
CREATE INDEX invitation_by_sent_at ON invitation (tenant_id, sent_at, invitation_id);
-- Pending invitations are queried most often, and there are only few.
CREATE INDEX invitation_pending ON invitation (tenant_id, sent_at, invitation_id) WHERE status = 'pending';
