-- What rules look back on: of each hour of a stack one row of numbers, so that no rule reads raw rows again; and how
-- the lives of a stack's alerts stood when a local day ended, so that folding need not begin with its first hour.

CREATE TABLE hour_layout (  -- what the numbers of hour_feature are; named by its content
    layout bigint PRIMARY KEY,
    names jsonb NOT NULL
);

CREATE TABLE hour_feature (  -- replaced in place: of rows and verdicts that are kept elsewhere it is a digest
    stack_id integer NOT NULL,
    start timestamptz NOT NULL,
    layout bigint NOT NULL,
    features bytea NOT NULL,        -- float64 little endian: of the values as sent
    blocks bytea NOT NULL,          -- the same: digests of ten minutes, that stacks of a site are compared by
    verdicts bytea NOT NULL,        -- the same: by pack and pollutant
    PRIMARY KEY (stack_id, start)
);
-- Random digits do not compress; what stays in its page is read without a second look-up.
ALTER TABLE hour_feature
    ALTER features SET STORAGE MAIN, ALTER blocks SET STORAGE MAIN, ALTER verdicts SET STORAGE MAIN,
    SET (toast_tuple_target = 8160);

CREATE TABLE life (  -- at the end of a local day that was judged to its end
    stack_id integer NOT NULL,
    day date NOT NULL,
    state jsonb NOT NULL,           -- by series, of what is not inactive
    PRIMARY KEY (stack_id, day)
);

CREATE TABLE year_mass (  -- what a stack put out since its local year began, as far as it was summed and still holds
    stack_id integer NOT NULL,
    pollutant text NOT NULL,
    averaging text NOT NULL,
    until timestamptz NOT NULL,     -- the start of the first hour that is not in it
    grams bigint NOT NULL,
    PRIMARY KEY (stack_id, pollutant, averaging)
);

ALTER TABLE rejudge DROP CONSTRAINT rejudge_reason_check;
ALTER TABLE rejudge ADD CONSTRAINT rejudge_reason_check CHECK (reason IN (
    'rows', 'ended', 'mark', 'register', 'pack',
    'order', 'record', 'reported', 'signal', 'conflict', 'sibling', 'silent', 'features'));

-- What was judged before this table was: a month and the day before it, of each stack.
INSERT INTO rejudge (stack_id, hour, reason)
SELECT DISTINCT m.stack_id, m.start, 'features'
FROM stack_latest l JOIN hour_mean m USING (stack_id)
WHERE m.superseded_at IS NULL AND m.start > l.sampled_at - interval '33 days';
