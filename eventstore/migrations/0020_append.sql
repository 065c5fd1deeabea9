-- Appends as before (0008_append.sql), but for how they find the head. Each append leaves a dead version of its row behind, and vacuum has
-- to keep them all while a backup holds a snapshot, for hours if the log is long. Whoever reads the table, or follows its index forwards,
-- passes all of them; the newest version stands at the end of the index.

CREATE OR REPLACE FUNCTION log.append(
    p_tenants       uuid[],
    p_recorded_at   timestamptz,
    a_tenant        uuid[],
    a_command       text[],
    a_hash          bytea[],
    a_answer        text[],
    a_events        integer[],
    s_append        integer[],
    s_type          text[],
    s_id            text[],
    s_expected      bigint[],
    c_append        integer[],
    c_kind          text[],
    c_key           bytea[],
    c_holder        text[],
    c_act           text[],
    e_append        integer[],
    e_nth           integer[],
    e_type          text[],
    e_id            text[],
    e_sequence      bigint[],
    e_event_id      uuid[],
    e_event_type    text[],
    e_event_version text[],
    e_payload       text[],
    e_metadata      text[],
    e_occurred_at   timestamptz[],
    e_leaf_hash     bytea[]
) RETURNS TABLE (append integer, verdict text, a bigint, b bigint, x text, y text, t timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row      tid;
    v_head     bigint;
    v_recorded timestamptz;
    v_careful  boolean := false;  -- whether each command is looked up
    v_refused  boolean[];
    v_before   bigint[];  -- of each append: the position before its first event
    v_last     bigint;
    v_written  bigint;
    r          record;
BEGIN
    -- One writer at a time, so that positions are dense and in commit order. Each statement below sees what was committed
    -- before the lock was ours, because a volatile function takes a new snapshot for each.
    PERFORM pg_advisory_xact_lock(7164702801);
    PERFORM set_config('app.tenant_ids', p_tenants::text, true);

    SELECT h.ctid, h.position, h.recorded_at INTO STRICT v_row, v_head, v_recorded
    FROM log.head h ORDER BY h.one DESC LIMIT 1;
    IF p_recorded_at < v_recorded THEN
        append := 0; verdict := 'behind'; t := v_recorded;
        RETURN NEXT;
        RETURN;
    END IF;

    <<attempt>>
    LOOP
        v_refused := array_fill(false, ARRAY[cardinality(a_tenant)]);

        IF v_careful THEN
            FOR r IN
                SELECT n::integer AS append, c.request_hash = q.hash AS same,
                       c.first_position, c.last_position, c.answer, c.recorded_at
                FROM unnest(a_tenant, a_command, a_hash) WITH ORDINALITY AS q (tenant, command, hash, n)
                JOIN log.commands c ON c.tenant_id = q.tenant AND c.command_id = q.command
            LOOP
                v_refused[r.append] := true;
                append := r.append; a := NULL; b := NULL; x := NULL; y := NULL; t := NULL;
                IF r.same THEN
                    verdict := 'repeated'; a := r.first_position; b := r.last_position; x := r.answer; t := r.recorded_at;
                ELSE
                    verdict := 'reused';
                END IF;
                RETURN NEXT;
            END LOOP;
        END IF;

        FOR r IN
            SELECT s.append, s.type, s.id, s.expected, coalesce(l.sequence, 0) AS actual
            FROM unnest(s_append, s_type, s_id, s_expected) AS s (append, type, id, expected)
            LEFT JOIN LATERAL (
                SELECT e.sequence FROM log.events e
                WHERE e.tenant_id = a_tenant[s.append] AND e.aggregate_type = s.type AND e.aggregate_id = s.id
                ORDER BY e.sequence DESC LIMIT 1
            ) l ON true
            WHERE coalesce(l.sequence, 0) <> s.expected
        LOOP
            IF NOT v_careful THEN
                v_careful := true;
                CONTINUE attempt;
            END IF;
            CONTINUE WHEN v_refused[r.append];
            v_refused[r.append] := true;
            append := r.append; verdict := 'version'; a := r.expected; b := r.actual; x := r.type; y := r.id; t := NULL;
            RETURN NEXT;
        END LOOP;

        IF c_act && ARRAY['absent', 'take'] THEN
            FOR r IN
                SELECT c.append, c.kind, h.holder
                FROM unnest(c_append, c_kind, c_key, c_holder, c_act) AS c (append, kind, key, holder, act)
                JOIN log.claims h ON h.tenant_id = a_tenant[c.append] AND h.kind = c.kind AND h.key = c.key
                WHERE c.act IN ('absent', 'take') AND (
                    c.act = 'absent'
                    OR h.holder <> c.holder AND NOT EXISTS (
                        -- given back by its holder in the same append
                        SELECT FROM unnest(c_append, c_kind, c_key, c_holder, c_act) AS g (append, kind, key, holder, act)
                        WHERE g.act = 'release' AND g.append = c.append AND g.kind = c.kind AND g.key = c.key
                          AND g.holder = h.holder))
            LOOP
                IF NOT v_careful THEN
                    v_careful := true;
                    CONTINUE attempt;
                END IF;
                CONTINUE WHEN v_refused[r.append];
                v_refused[r.append] := true;
                append := r.append; verdict := 'claimed'; a := NULL; b := NULL; x := r.kind; y := r.holder; t := NULL;
                RETURN NEXT;
            END LOOP;
        END IF;

        SELECT array_agg(q.after - q.events ORDER BY q.n), max(q.after) INTO STRICT v_before, v_last
        FROM (
            SELECT n, p.events, v_head + sum(p.events) OVER (ORDER BY n) AS after
            FROM (
                SELECT n, CASE WHEN v_refused[n] THEN 0 ELSE events END AS events
                FROM unnest(a_events) WITH ORDINALITY AS z (events, n)
            ) p
        ) q;

        BEGIN
            -- Arrays side by side in the list of columns are taken apart row by row; in FROM they would be copied first.
            -- Commands before events: a repeated one shows before much is written.
            INSERT INTO log.commands (tenant_id, command_id, request_hash, answer, first_position, last_position, recorded_at)
            SELECT q.tenant, q.command, q.hash, q.answer, v_before[q.n] + CASE WHEN q.events > 0 THEN 1 ELSE 0 END,
                   v_before[q.n] + q.events, p_recorded_at
            FROM (
                SELECT unnest(a_tenant) AS tenant, unnest(a_command) AS command, unnest(a_hash) AS hash,
                       unnest(a_answer) AS answer, unnest(a_events) AS events, generate_subscripts(a_tenant, 1) AS n
            ) q
            WHERE NOT v_refused[q.n];

            INSERT INTO log.events (tenant_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                                    metadata, event_id, position, occurred_at, recorded_at, leaf_hash)
            SELECT a_tenant[e.append], e.type, e.id, e.sequence, e.event_type, e.event_version, e.payload::json,
                   e.metadata::json, e.event_id, v_before[e.append] + e.nth, e.occurred_at, p_recorded_at, e.leaf_hash
            FROM (
                SELECT unnest(e_append) AS append, unnest(e_nth) AS nth, unnest(e_type) AS type, unnest(e_id) AS id,
                       unnest(e_sequence) AS sequence, unnest(e_event_id) AS event_id, unnest(e_event_type) AS event_type,
                       unnest(e_event_version) AS event_version, unnest(e_payload) AS payload,
                       unnest(e_metadata) AS metadata, unnest(e_occurred_at) AS occurred_at,
                       unnest(e_leaf_hash) AS leaf_hash
            ) e
            WHERE NOT v_refused[e.append];
            GET DIAGNOSTICS v_written = ROW_COUNT;
            EXIT attempt;
        EXCEPTION WHEN unique_violation THEN
            IF v_careful THEN
                RAISE;
            END IF;
            v_careful := true;
        END;
    END LOOP;
    IF v_written <> v_last - v_head THEN
        RAISE 'the batch announced % events and has %', v_last - v_head, v_written USING ERRCODE = 'data_exception';
    END IF;

    IF 'release' = ANY (c_act) THEN
        DELETE FROM log.claims h
        USING unnest(c_append, c_kind, c_key, c_holder, c_act) AS c (append, kind, key, holder, act)
        WHERE c.act = 'release' AND NOT v_refused[c.append] AND h.tenant_id = a_tenant[c.append] AND h.kind = c.kind
          AND h.key = c.key AND h.holder = c.holder;
    END IF;
    IF c_act && ARRAY['take', 'mark'] THEN
        INSERT INTO log.claims (tenant_id, kind, key, holder)
        SELECT a_tenant[c.append], c.kind, c.key, c.holder
        FROM (
            SELECT unnest(c_append) AS append, unnest(c_kind) AS kind, unnest(c_key) AS key, unnest(c_holder) AS holder,
                   unnest(c_act) AS act
        ) c
        WHERE c.act IN ('take', 'mark') AND NOT v_refused[c.append]
        ON CONFLICT DO NOTHING;
    END IF;

    UPDATE log.head h SET position = v_last, recorded_at = p_recorded_at WHERE h.ctid = v_row;
    IF NOT FOUND THEN
        RAISE 'the head of the log was moved by somebody who does not hold its lock' USING ERRCODE = 'data_corrupted';
    END IF;

    append := 0; verdict := 'head'; a := v_head; b := v_last; x := NULL; y := NULL; t := p_recorded_at;
    RETURN NEXT;
END $$;
