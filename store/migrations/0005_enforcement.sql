-- Cases and orders. The state of a case is derived from its events; the events are written once.

CREATE TABLE "case" (
    case_id text PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    units text[] NOT NULL,
    track text NOT NULL CHECK (track IN ('statutory', 'evasion', 'ule', 'deadline')),
    state text NOT NULL,            -- what the events say, repeated in the transaction that appends one
    opened_at timestamptz NOT NULL DEFAULT now(),
    due timestamptz,
    pinned jsonb NOT NULL,          -- versions of pack, policy and register it began with
    closed_at timestamptz
);
CREATE UNIQUE INDEX case_open ON "case" (site_id, units, track) WHERE closed_at IS NULL;

CREATE TABLE case_alert (
    case_id text NOT NULL REFERENCES "case",
    alert_id text NOT NULL REFERENCES alert,
    PRIMARY KEY (case_id, alert_id)
);

CREATE TABLE case_event (
    case_id text NOT NULL REFERENCES "case",
    number integer NOT NULL CHECK (number >= 1),
    action text NOT NULL,
    role text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    body text NOT NULL,             -- canonical JSON of all of the event: what the hash is taken of
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (case_id, number)
);

CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER case_event_append_only BEFORE UPDATE OR DELETE ON case_event
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER case_event_no_truncate BEFORE TRUNCATE ON case_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE plant_order (
    order_id text PRIMARY KEY,
    case_id text NOT NULL REFERENCES "case",
    site_id integer NOT NULL REFERENCES site,
    kind text NOT NULL CHECK (kind IN ('suspend', 'restrict', 'curtail')),
    units jsonb NOT NULL,           -- [{unit, mode, value}]
    effective_from timestamptz NOT NULL,
    safe_state_by timestamptz NOT NULL,
    until timestamptz,
    basis text NOT NULL,
    text text NOT NULL,
    ended_at timestamptz            -- lifted, or stayed for a trial
);

CREATE TABLE order_list (  -- every list that was issued; the newest version of a site is in force
    site_id integer NOT NULL REFERENCES site,
    version integer NOT NULL CHECK (version >= 1),
    body text NOT NULL,
    issued_at timestamptz NOT NULL,
    PRIMARY KEY (site_id, version)
);

CREATE TABLE order_ack (
    site_id integer NOT NULL REFERENCES site,
    edge text NOT NULL,
    order_id text NOT NULL,
    version integer NOT NULL,
    seen_at timestamptz NOT NULL,
    seen_by text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, edge, order_id, version)
);

CREATE TABLE outgoing (  -- one message we owe someone
    outgoing_id text PRIMARY KEY,   -- stable: a crash may repeat it, never make a second
    kind text NOT NULL CHECK (kind IN ('orders', 'webhook', 'mail')),
    address text NOT NULL,          -- the topic, for orders
    payload text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    sent_at timestamptz
);
CREATE INDEX outgoing_due ON outgoing (due_at) WHERE sent_at IS NULL;
