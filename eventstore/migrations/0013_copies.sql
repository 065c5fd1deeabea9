-- A copy of another tenant's history that moves to another cell, or is restored from a backup, is one still: what was brought in of
-- another tenant, and what came from another cell, are noted beside each other.
ALTER TABLE log.copied DROP CONSTRAINT copied_pkey;
ALTER TABLE log.copied ADD PRIMARY KEY (tenant_id, moved);

CREATE POLICY backup ON log.copied FOR SELECT TO inopsio_{{service}}_backup USING (true);
GRANT SELECT ON log.copied TO inopsio_{{service}}_backup;
