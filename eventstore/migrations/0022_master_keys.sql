-- The tenants' keys: which master keys wrapped them is asked by each process before it begins, and before it makes the first one
-- (docs/src/adr/0078-a-master-key-makes-keys-where-it-opens-some.md); all of them are gone through when they are wrapped anew. The table has
-- the keys of all people and all that is unique, too.
CREATE INDEX claims_tenant_key ON log.claims (split_part(holder, '.', 1)) WHERE kind = 'log.tenant_key';
