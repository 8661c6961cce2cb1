-- Who is told of alerts, what each receiver still owes to be told, and what became of each message.

CREATE TABLE receiver (
    receiver_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('webhook', 'mail', 'apprise')),
    shown jsonb NOT NULL,           -- what may be read of its target: never a secret
    sealed bytea NOT NULL,          -- the target with its secrets, encrypted under a key that is not in the database
    language text NOT NULL CHECK (language IN ('en', 'zh')),
    routes jsonb NOT NULL,          -- in order: the first that matches an alert counts
    system boolean NOT NULL,        -- an administrator's: told of stackwatch itself, too
    sites text[] NOT NULL,          -- scope of the principal that made it, as in `principal`: empty is not narrowed
    regions text[] NOT NULL,
    position bigint NOT NULL,       -- feed number up to which the feed has been routed to it
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    disabled_why text,
    retired_at timestamptz,         -- never deleted: its messages were sent
    busy_until timestamptz,         -- a deliverer works for it until then
    busy_by text,
    failures integer NOT NULL DEFAULT 0,    -- attempts in a row that failed
    failing_since timestamptz,
    retry_at timestamptz,
    last_error text,
    last_sent_at timestamptz,
    dead_alert text                 -- the open alert that says it is dead
);
CREATE UNIQUE INDEX receiver_name ON receiver (name) WHERE retired_at IS NULL;

CREATE TABLE notice_group (         -- alerts of one site and kind, as one route of a receiver tells of them
    receiver_id integer NOT NULL REFERENCES receiver,
    route text NOT NULL,
    group_key text NOT NULL,        -- site/kind
    due_at timestamptz NOT NULL,    -- when it is looked at next: something is new, or it is time to repeat
    told_at timestamptz,
    number bigint NOT NULL,         -- the newest feed number noted in it
    messages integer NOT NULL,      -- written at this number so far: a repetition brings no event
    PRIMARY KEY (receiver_id, route, group_key)
);
CREATE INDEX notice_group_due ON notice_group (due_at);

CREATE TABLE notice_alert (         -- an alert that a receiver was told of, or is about to be
    receiver_id integer NOT NULL REFERENCES receiver,
    alert_id text NOT NULL,         -- no reference: telling must not wait for who judges the alert just now
    route text NOT NULL,
    group_key text NOT NULL,
    news text,                      -- the event that it has not been told of yet
    told boolean NOT NULL,
    PRIMARY KEY (receiver_id, alert_id)
);
CREATE INDEX notice_alert_group ON notice_alert (receiver_id, route, group_key);

ALTER TABLE outgoing DROP CONSTRAINT outgoing_kind_check;
ALTER TABLE outgoing ADD CONSTRAINT outgoing_kind_check CHECK (kind IN ('orders', 'webhook', 'mail', 'apprise'));
ALTER TABLE outgoing ADD COLUMN gave_up_at timestamptz;     -- kept, and not tried any more
DROP INDEX outgoing_due;
CREATE INDEX outgoing_due ON outgoing (due_at) WHERE sent_at IS NULL AND gave_up_at IS NULL;
-- What a receiver is still owed and what it never took: few of the many that it was sent.
CREATE INDEX outgoing_unsent ON outgoing (address) WHERE kind <> 'orders' AND sent_at IS NULL;
CREATE INDEX outgoing_age ON outgoing (created_at) WHERE kind <> 'orders';
-- Of messages to receivers the address is the receiver's number.
CREATE INDEX outgoing_of_receiver ON outgoing (address, created_at DESC, outgoing_id DESC) WHERE kind <> 'orders';
