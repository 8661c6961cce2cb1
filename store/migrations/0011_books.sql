-- Books that balance without reading every frame ever sent. Who writes a frame or its fates leaves a note of it in the
-- same transaction (triggers, so that every writer does); the stage folds the notes into short tables, and who reads
-- the books adds the notes that are not folded yet. Nothing in here is a source: all of it follows from `batch`,
-- `batch_hour`, `edge_session` and `quarantine`.

CREATE TABLE book_line (  -- what became of the rows that arrived, by edge and hour of sampled_at
    hour timestamptz NOT NULL,
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    conflict bigint NOT NULL,
    quarantined bigint NOT NULL,
    redelivered bigint NOT NULL,
    PRIMARY KEY (hour, site_id, edge)
);
CREATE INDEX book_line_site ON book_line (site_id, hour);

CREATE TABLE book_edge (  -- the sums of its lines
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    conflict bigint NOT NULL,
    quarantined bigint NOT NULL,
    redelivered bigint NOT NULL,
    PRIMARY KEY (site_id, edge)
);

CREATE TABLE site_missing (  -- the last hour that ended at a site, for who only watches; plant.coverage is exact
    site_id integer PRIMARY KEY REFERENCES site,
    hour timestamptz NOT NULL,
    expected bigint NOT NULL,
    missing bigint NOT NULL
);

CREATE TABLE book_entry (  -- what is still to be added to a line; negative where rows moved to another fate
    hour timestamptz NOT NULL,
    site_id integer NOT NULL,
    edge text NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    conflict bigint NOT NULL,
    quarantined bigint NOT NULL,
    redelivered bigint NOT NULL
);

CREATE TABLE session_news (  -- a session of which something is to be tallied
    news_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL,
    edge text NOT NULL,
    session text NOT NULL,
    batch_id bigint NOT NULL,
    more integer                    -- rows that a frame turned out to hold beyond what it said; null: it is new
);
CREATE INDEX session_news_session ON session_news (site_id, edge, session);

CREATE TABLE session_run (  -- frames that follow on one another in number and in count: see plant.tallies
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    session text NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    counted bigint NOT NULL,
    adds bigint NOT NULL,
    reaches bigint NOT NULL,
    dropped bigint NOT NULL,
    batch_id bigint NOT NULL,       -- of its first frame
    received_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, edge, session, first)
);

CREATE TABLE session_loss (  -- rows that a session counted and that did not arrive
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    session text NOT NULL,
    first bigint NOT NULL,          -- the missing numbers; none where last is below first
    last bigint NOT NULL,
    fate text NOT NULL CHECK (fate IN ('dropped', 'quarantined', 'in_flight', 'unexplained')),
    rows bigint NOT NULL,
    hour timestamptz NOT NULL,      -- of the first row of the frame that counted them
    counted_at timestamptz NOT NULL,  -- when that frame was received
    since timestamptz NOT NULL,     -- the tick at which they had this fate first
    judged boolean NOT NULL DEFAULT false,
    PRIMARY KEY (site_id, edge, session, first, last, fate)
);
CREATE INDEX session_loss_hour ON session_loss (site_id, hour);
CREATE INDEX session_loss_new ON session_loss (since) WHERE NOT judged;

CREATE FUNCTION note_frames() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO session_news (site_id, edge, session, batch_id)
    SELECT site_id, edge, session, batch_id FROM new_rows WHERE session IS NOT NULL AND seq IS NOT NULL
    ORDER BY batch_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER batch_came AFTER INSERT ON batch REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_frames();

CREATE FUNCTION note_changed_frames() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO session_news (site_id, edge, session, batch_id, more)
    SELECT n.site_id, n.edge, n.session, n.batch_id, n.rows - o.rows
    FROM new_rows n JOIN old_rows o USING (batch_id)
    WHERE n.session IS NOT NULL AND n.seq IS NOT NULL AND (n.rows, n.low) IS DISTINCT FROM (o.rows, o.low)
    ORDER BY batch_id;
    INSERT INTO book_entry (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT h.hour, n.site_id, n.edge, 0, 0, 0, 0,
           sum((n.deliveries - o.deliveries) * (h.stored + h.duplicate + h.conflict + h.quarantined)::bigint)
    FROM new_rows n JOIN old_rows o USING (batch_id) JOIN batch_hour h USING (batch_id)
    WHERE n.deliveries <> o.deliveries
    GROUP BY h.hour, n.site_id, n.edge;
    RETURN NULL;
END
$$;
CREATE TRIGGER batch_changed AFTER UPDATE ON batch REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_frames();

-- Its fates go with a frame, by the foreign key; then nobody could tell any more whose they were.
CREATE FUNCTION note_frame_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO book_entry (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT h.hour, OLD.site_id, OLD.edge, -h.stored, -h.duplicate, -h.conflict, -h.quarantined,
           -(OLD.deliveries - 1) * (h.stored + h.duplicate + h.conflict + h.quarantined)::bigint
    FROM batch_hour h WHERE h.batch_id = OLD.batch_id;
    RETURN OLD;
END
$$;
CREATE TRIGGER batch_gone BEFORE DELETE ON batch FOR EACH ROW EXECUTE FUNCTION note_frame_gone();

CREATE FUNCTION note_fates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO book_entry (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT n.hour, b.site_id, b.edge, sum(n.stored), sum(n.duplicate), sum(n.conflict), sum(n.quarantined),
           sum((b.deliveries - 1) * (n.stored + n.duplicate + n.conflict + n.quarantined)::bigint)
    FROM new_rows n JOIN batch b USING (batch_id)
    GROUP BY n.hour, b.site_id, b.edge;
    RETURN NULL;
END
$$;
CREATE TRIGGER batch_hour_came AFTER INSERT ON batch_hour REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_fates();

CREATE FUNCTION note_changed_fates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO book_entry (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT n.hour, b.site_id, b.edge, sum(n.stored - o.stored), sum(n.duplicate - o.duplicate),
           sum(n.conflict - o.conflict), sum(n.quarantined - o.quarantined),
           sum((b.deliveries - 1) * (n.stored + n.duplicate + n.conflict + n.quarantined
                                     - o.stored - o.duplicate - o.conflict - o.quarantined)::bigint)
    FROM new_rows n JOIN old_rows o USING (batch_id, hour) JOIN batch b USING (batch_id)
    GROUP BY n.hour, b.site_id, b.edge;
    RETURN NULL;
END
$$;
CREATE TRIGGER batch_hour_changed AFTER UPDATE ON batch_hour REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_fates();

CREATE FUNCTION note_gone_fates() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO book_entry (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT o.hour, b.site_id, b.edge, -sum(o.stored), -sum(o.duplicate), -sum(o.conflict), -sum(o.quarantined),
           -sum((b.deliveries - 1) * (o.stored + o.duplicate + o.conflict + o.quarantined)::bigint)
    FROM old_rows o JOIN batch b USING (batch_id)
    GROUP BY o.hour, b.site_id, b.edge;
    RETURN NULL;
END
$$;
CREATE TRIGGER batch_hour_gone AFTER DELETE ON batch_hour REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_gone_fates();

-- What is there already.
INSERT INTO book_line (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
SELECT h.hour, b.site_id, b.edge, sum(h.stored), sum(h.duplicate), sum(h.conflict), sum(h.quarantined),
       sum((b.deliveries - 1) * (h.stored + h.duplicate + h.conflict + h.quarantined)::bigint)
FROM batch_hour h JOIN batch b USING (batch_id)
GROUP BY h.hour, b.site_id, b.edge;
INSERT INTO book_edge (site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
SELECT site_id, edge, sum(stored), sum(duplicate), sum(conflict), sum(quarantined), sum(redelivered)
FROM book_line GROUP BY site_id, edge;
INSERT INTO session_news (site_id, edge, session, batch_id)
SELECT site_id, edge, session, batch_id FROM batch WHERE session IS NOT NULL AND seq IS NOT NULL ORDER BY batch_id;

CREATE INDEX alert_edge ON alert (site_id, rule, period_start) WHERE stack_id IS NULL;

CREATE FUNCTION forget_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM session_run WHERE (site_id, edge, session) = (OLD.site_id, OLD.edge, OLD.session);
    DELETE FROM session_loss WHERE (site_id, edge, session) = (OLD.site_id, OLD.edge, OLD.session);
    RETURN NULL;
END
$$;
CREATE TRIGGER session_gone AFTER DELETE ON edge_session FOR EACH ROW EXECUTE FUNCTION forget_session();
