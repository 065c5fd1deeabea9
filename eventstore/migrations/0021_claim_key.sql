-- The key under which the claims of this log are hashed, by its mark. Under another key nothing that is taken would be found: two people
-- could have one address, and nobody could sign in. So whoever appends says the mark of the key that they have, and is refused if it is
-- another one (docs/src/adr/0076-a-log-knows-its-claim-key.md).
CREATE TABLE log.claim_key (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    mark text NOT NULL
);

-- The mark of the log's key. A log without one takes the one that is given, and so does one to which nothing was written yet. But where
-- somebody has a connection for appends (they hold the lock, shared), they may be about to write under the mark that they were answered.
CREATE FUNCTION log.claim_key_mark(p_mark text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_mark text;
BEGIN
    SELECT k.mark INTO v_mark FROM log.claim_key k;
    IF v_mark = p_mark THEN
        RETURN v_mark;
    END IF;
    IF v_mark IS NULL THEN
        INSERT INTO log.claim_key (mark) VALUES (p_mark) ON CONFLICT (one) DO NOTHING;
    ELSIF pg_try_advisory_xact_lock(7164702806) THEN
        -- A statement of its own after the lock: it sees what was written until then.
        UPDATE log.claim_key SET mark = p_mark
        WHERE (SELECT h.recorded_at FROM log.head h ORDER BY h.one DESC LIMIT 1) = '-infinity';
    END IF;
    SELECT k.mark INTO STRICT v_mark FROM log.claim_key k;
    RETURN v_mark;
END $$;
REVOKE ALL ON FUNCTION log.claim_key_mark(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.claim_key_mark(text) TO inopsio_{{service}}_append;
GRANT SELECT ON log.claim_key TO inopsio_{{service}}_backup;
