-- Up to which position history was brought in from elsewhere: it happened before, and nobody is to act on it. Of one tenant: a copy
-- of another's history. Under the id of no tenant (all zero): all that was restored from a backup.
CREATE TABLE log.copied (
    tenant_id uuid   PRIMARY KEY,
    position  bigint NOT NULL
);
ALTER TABLE log.copied ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.copied FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON log.copied TO inopsio_{{service}}_owner USING (true);
CREATE POLICY follow ON log.copied FOR SELECT TO inopsio_{{service}}_follow USING (true);
GRANT SELECT ON log.copied TO inopsio_{{service}}_follow;
