-- Several rule stages on one queue: who works on which stacks, what is set aside, and when the clock was committed.

-- The queue is short lived: it is vacuumed by what was deleted, not by its size. Who asks need not wait for the stack's
-- row, and looks whether the same is asked already.
ALTER TABLE rejudge DROP CONSTRAINT rejudge_stack_id_fkey;
CREATE INDEX rejudge_stack ON rejudge (stack_id, hour);
ALTER TABLE rejudge SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE stage_worker (  -- a process that judges; by the database's clock, and gone when its lease is over
    owner text PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

CREATE TABLE shard (  -- whose stacks it judges: stack_id modulo the number of shards. A hint; locks decide
    shard smallint PRIMARY KEY,
    owner text NOT NULL REFERENCES stage_worker ON DELETE CASCADE
);

CREATE TABLE set_aside (  -- a stack whose judging failed by a fault of ours: its questions wait, its neighbours do not
    stack_id integer PRIMARY KEY,
    reason text NOT NULL,
    failures integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    retry_at timestamptz NOT NULL
);

CREATE TABLE stack_quiet (  -- for which hour a stack that sends nothing was asked about last
    stack_id integer PRIMARY KEY,
    hour timestamptz NOT NULL
);

ALTER TABLE tick ADD COLUMN committed_at timestamptz NOT NULL DEFAULT clock_timestamp();

-- What is about stackwatch itself stands at no site.
ALTER TABLE alert ALTER COLUMN site_id DROP NOT NULL;
