-- What the edges sent. A measurement is identified by (stack, instrument, sampled_at); what else arrived for
-- it is kept beside it, and the row that counts is a function of all that arrived, never of the order.

CREATE TABLE batch (  -- one message of an edge, as committed
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    session text,
    seq bigint CHECK (seq >= 1),
    digest bytea NOT NULL,          -- of the payload: a restored edge disk may use a number again
    low bigint,
    rows_before bigint NOT NULL DEFAULT 0,
    dropped_before bigint NOT NULL DEFAULT 0,
    sent_at timestamptz,
    received_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    ingestor text NOT NULL,
    rows integer NOT NULL,
    deliveries integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX batch_frame ON batch (site_id, edge, session, seq, digest) WHERE session IS NOT NULL;

CREATE TABLE batch_hour (  -- the books: what became of the rows of a message, by hour of sampled_at
    batch_id bigint NOT NULL REFERENCES batch ON DELETE CASCADE,
    hour timestamptz NOT NULL,
    stored integer NOT NULL DEFAULT 0,
    duplicate integer NOT NULL DEFAULT 0,
    conflict integer NOT NULL DEFAULT 0,
    quarantined integer NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_id, hour)
);
CREATE INDEX batch_hour_hour ON batch_hour (hour);

CREATE TABLE measurement (
    stack_id integer NOT NULL,
    instrument text NOT NULL,
    sampled_at timestamptz NOT NULL,
    interval_s integer NOT NULL,
    flag text NOT NULL,
    flags jsonb,                    -- channels whose flag is another than the row's
    state text,
    revision integer NOT NULL,
    sent_at timestamptz,
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    versions smallint NOT NULL DEFAULT 1,  -- above 1: each that arrived is in measurement_version
    so2 double precision,
    nox double precision,
    no double precision,
    no2 double precision,
    pm double precision,
    co double precision,
    nh3 double precision,
    o2 double precision,
    moisture double precision,
    temperature double precision,
    pressure double precision,
    velocity double precision,
    flow double precision,
    power_production_kw double precision,
    power_abatement_kw double precision,
    load_pct double precision,
    extra jsonb,                    -- channels without a column
    PRIMARY KEY (stack_id, instrument, sampled_at)
);

CREATE TABLE measurement_version (  -- every different thing that arrived for one row
    stack_id integer NOT NULL,
    instrument text NOT NULL,
    sampled_at timestamptz NOT NULL,
    digest bytea NOT NULL,          -- of revision and body
    revision integer NOT NULL,
    sent_at timestamptz,
    body text NOT NULL,             -- canonical JSON of the row
    received_at timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (stack_id, instrument, sampled_at, digest)
);

CREATE TABLE measurement_conflict (  -- two values of one revision for one channel: an integrity lead
    stack_id integer NOT NULL,
    instrument text NOT NULL,
    sampled_at timestamptz NOT NULL,
    channel text NOT NULL,
    revision integer NOT NULL,
    counted jsonb NOT NULL,
    others jsonb NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stack_id, instrument, sampled_at, channel, revision)
);

CREATE TABLE edge_session (  -- receipts come from here, so every ingestor gives the same one
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    session text NOT NULL,
    settled int8multirange NOT NULL DEFAULT '{}',
    low bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, edge, session)
);

CREATE TABLE edge_state (
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    online boolean NOT NULL,
    document jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, edge)
);

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    site_id integer,
    edge text,
    session text,
    seq bigint,
    digest bytea NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    refused jsonb,                  -- [{row, reason}] where only some rows were; null: the whole payload
    received_at timestamptz NOT NULL,
    deliveries integer NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'held' CHECK (status IN ('held', 'released', 'stored')),
    released_by text,
    released_at timestamptz,
    UNIQUE (topic, digest)
);

CREATE TABLE site_clock (  -- the newest row of a site: the clock of a simulated one
    site_id integer PRIMARY KEY REFERENCES site,
    newest timestamptz NOT NULL
);

CREATE TABLE stack_latest (  -- the newest row of a stack, for the operator's page
    stack_id integer PRIMARY KEY REFERENCES stack,
    sampled_at timestamptz NOT NULL
);
