-- How far back a site's data still reach. Written before anything is deleted: an hour that stood when its rows went is
-- never judged again from what is left of them.

CREATE TABLE kept_from (
    site_id integer PRIMARY KEY REFERENCES site,
    rows_from timestamptz NOT NULL,      -- raw rows before this may be gone
    records_from timestamptz NOT NULL    -- means, verdicts and books before this may be gone
);

CREATE TABLE retention_run (  -- one row: when it last ran, by the clock of the stage
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    ran_at timestamptz NOT NULL
);

CREATE INDEX batch_loose ON batch (received_at) WHERE session IS NULL;  -- what has no session goes by its age
