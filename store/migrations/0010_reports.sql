-- What is reported beside the measurements: means that a logger computed or a platform holds, and process values.
-- A row of these stands or falls as a whole: the one that counts is here, all else that arrived for it in `overruled`.

CREATE TABLE reported_mean (  -- of one channel over [sampled_at, sampled_at + interval_s)
    stack_id integer NOT NULL,
    source text NOT NULL CHECK (source IN ('logger', 'platform')),  -- who says so
    channel text NOT NULL,
    interval_s integer NOT NULL,
    sampled_at timestamptz NOT NULL,
    avg double precision,
    min double precision,
    max double precision,
    corrected_avg double precision,
    corrected_min double precision,
    corrected_max double precision,
    amount double precision,        -- kg; of flow m3
    flag text NOT NULL,
    revision integer NOT NULL,
    sent_at timestamptz,            -- the earliest time at which this was sent
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (stack_id, source, channel, interval_s, sampled_at)
);

CREATE TABLE signal (  -- one process value
    site_id integer NOT NULL,
    unit text NOT NULL,             -- code, '' where none is named
    stack text NOT NULL,            -- code, '' where none is named
    signal text NOT NULL,
    sampled_at timestamptz NOT NULL,
    value double precision,
    flag text NOT NULL,
    revision integer NOT NULL,
    sent_at timestamptz,
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (site_id, unit, stack, signal, sampled_at)
);

CREATE TABLE overruled (  -- what arrived for a row of the two above and does not count
    site_id integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('reported_mean', 'signal')),
    identity text NOT NULL,         -- JSON array: the key of the row, sampled_at in microseconds since the epoch
    body text NOT NULL,             -- JSON object of all that it says
    revision integer NOT NULL,
    sent_at timestamptz,
    sampled_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (site_id, kind, identity, body)
);
