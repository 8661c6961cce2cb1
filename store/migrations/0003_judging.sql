-- Hours and months. Provisional rows are replaced in place; a final one is superseded, never overwritten.

CREATE TABLE tick (  -- the one clock that matters at a live site: the newest committed row
    tick_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    leader text NOT NULL
);
CREATE INDEX tick_at ON tick (at DESC);

CREATE TABLE rejudge (  -- the queue; appended to, claimed with SKIP LOCKED, deleted with the verdict's commit
    rejudge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stack_id integer NOT NULL REFERENCES stack,
    hour timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason IN ('rows', 'ended', 'mark', 'register', 'pack')),
    asked_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE mark (
    mark_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    stack_id integer NOT NULL REFERENCES stack,
    kind text NOT NULL
        CHECK (kind IN ('start_up', 'shut_down', 'stopped', 'maintenance', 'calibration', 'fault')),
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL CHECK (end_at > start_at),
    reason text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '[]',
    filed_by text NOT NULL,
    filed_at timestamptz NOT NULL DEFAULT now(),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'rejected')),
    decided_by text,
    decided_at timestamptz,
    decision_reason text,
    CHECK ((status = 'pending') = (decided_at IS NULL))
);
CREATE INDEX mark_stack ON mark (stack_id, start_at);

CREATE TABLE hour_mean (  -- knows no pack, only how it was averaged
    stack_id integer NOT NULL,
    pollutant text NOT NULL,
    start timestamptz NOT NULL,
    averaging text NOT NULL,
    revision integer NOT NULL,
    instrument text NOT NULL,
    rows integer NOT NULL,
    valid boolean NOT NULL,
    valid_minutes smallint NOT NULL,
    not_running_minutes smallint NOT NULL,
    over_range_minutes smallint NOT NULL,
    zero_minutes smallint NOT NULL DEFAULT 0,  -- valid minutes of exactly zero
    claimed_minutes smallint NOT NULL,  -- minutes that only a flag or a state of the plant's took out
    mean double precision,
    o2 double precision,
    mass_kg double precision,
    rows_hash bytea NOT NULL,
    final boolean NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    PRIMARY KEY (stack_id, pollutant, start, averaging, revision)
);
CREATE INDEX hour_mean_open ON hour_mean (start, stack_id) WHERE NOT final AND superseded_at IS NULL;

CREATE TABLE hour_verdict (
    stack_id integer NOT NULL,
    pollutant text NOT NULL,
    start timestamptz NOT NULL,
    pack text NOT NULL,
    pack_version text NOT NULL,
    revision integer NOT NULL,
    averaging text NOT NULL,
    mean_revision integer NOT NULL,
    month date NOT NULL,            -- the site's local month, by its first day
    corrected double precision,
    corrected_from_minutes double precision,
    method_sensitive boolean NOT NULL,
    limit_value double precision NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('clear', 'breached', 'undecided', 'excluded')),
    reason text NOT NULL,
    claimed boolean NOT NULL,       -- excluded or undecided by the plant's own unaccepted claims
    final boolean NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    PRIMARY KEY (stack_id, pollutant, start, pack, revision)
);
CREATE INDEX hour_verdict_month ON hour_verdict (stack_id, pack, month, pollutant, start) WHERE superseded_at IS NULL;

CREATE TABLE month_verdict (
    stack_id integer NOT NULL,
    pollutant text NOT NULL,
    month date NOT NULL,
    pack text NOT NULL,
    pack_version text NOT NULL,
    revision integer NOT NULL,
    hours_valid integer NOT NULL,
    hours_within integer NOT NULL,
    hours_above integer NOT NULL,
    hours_undecided integer NOT NULL,
    hours_excluded jsonb NOT NULL,
    hours_to_come integer NOT NULL,
    share double precision,
    share_worst double precision,
    required double precision NOT NULL,
    budget integer NOT NULL,
    budget_now integer NOT NULL,
    budget_left integer NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('clear', 'breached', 'undecided', 'running')),
    final boolean NOT NULL,
    as_of timestamptz NOT NULL,     -- the clock it was judged by
    computed_at timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz,
    PRIMARY KEY (stack_id, pollutant, month, pack, revision)
);
CREATE INDEX month_verdict_open ON month_verdict (month, stack_id) WHERE NOT final AND superseded_at IS NULL;
