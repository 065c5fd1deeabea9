-- What appends touch of a tenant's claims and commands while its history is copied to another cell, so that whoever moves it need not read
-- all of them again when its writes are paused. The triggers are made for that one tenant when its move begins, and gone when it
-- ends (src/transfer/touched.rs): otherwise no append is asked.
CREATE TABLE log.touched (
    tenant_id  uuid   NOT NULL,
    nth        bigint GENERATED ALWAYS AS IDENTITY,
    -- Either a claim, or a command.
    kind       text,
    key        bytea,
    command_id text,
    PRIMARY KEY (tenant_id, nth),
    CHECK ((kind IS NULL) = (key IS NULL) AND (kind IS NULL) <> (command_id IS NULL))
);
ALTER TABLE log.touched ENABLE ROW LEVEL SECURITY;
ALTER TABLE log.touched FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON log.touched TO inopsio_{{service}}_owner
    USING ((tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[])) IS TRUE);

CREATE FUNCTION log.touch_claim() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO log.touched (tenant_id, kind, key) VALUES (OLD.tenant_id, OLD.kind, OLD.key);
    ELSE
        INSERT INTO log.touched (tenant_id, kind, key) VALUES (NEW.tenant_id, NEW.kind, NEW.key);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION log.touch_command() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO log.touched (tenant_id, command_id) VALUES (NEW.tenant_id, NEW.command_id);
    RETURN NULL;
END $$;

-- Read models of a copy that was purged lack what was there before: a tenant that comes back needs them built anew.
ALTER TABLE log.closed ADD COLUMN purged boolean NOT NULL DEFAULT false;
-- Those that were purged before this was noted have no answers any more.
UPDATE log.closed c SET purged = true
WHERE c.state = 'left' AND NOT EXISTS (SELECT FROM log.commands k WHERE k.tenant_id = c.tenant_id);
