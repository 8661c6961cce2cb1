-- Marks have a deadline and a source; drafts of marks are kept until the plant files or dismisses them.

SET LOCAL lock_timeout = '5s';

ALTER TABLE mark
    ADD COLUMN source text NOT NULL DEFAULT 'manual' CHECK (source IN ('auto', 'manual')),
    ADD COLUMN deadline timestamptz,  -- by the region's policy when it was filed
    ADD COLUMN late boolean NOT NULL DEFAULT false,  -- filed behind its deadline, by the clock of its site
    ADD COLUMN drafts text[] NOT NULL DEFAULT '{}';  -- what it was filed from
UPDATE mark SET deadline = end_at + interval '24 hours', late = filed_at > end_at + interval '24 hours';
ALTER TABLE mark ALTER COLUMN deadline SET NOT NULL;
CREATE INDEX mark_pending ON mark (site_id, stack_id, kind, start_at, mark_id) WHERE status = 'pending';

CREATE TABLE mark_draft (  -- what the rows of a local day say that would have to be declared; changes no verdict
    draft_id text PRIMARY KEY,      -- a function of stack, cause and start
    site_id integer NOT NULL REFERENCES site,
    stack_id integer NOT NULL REFERENCES stack,
    kind text NOT NULL CHECK (kind IN ('start_up', 'shut_down', 'stopped', 'maintenance', 'calibration', 'fault')),
    cause text NOT NULL,            -- a state, a flag, or power
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL CHECK (end_at > start_at),
    goes_on boolean NOT NULL,
    evidence jsonb NOT NULL,
    settled boolean NOT NULL DEFAULT false,  -- marks cover it, or it was dismissed: what is open is found at once
    dismissed_by text,
    dismissed_at timestamptz,
    dismissed_reason text,
    CHECK ((dismissed_at IS NULL) = (dismissed_by IS NULL) AND (dismissed_at IS NULL) = (dismissed_reason IS NULL))
);
CREATE INDEX mark_draft_stack ON mark_draft (stack_id, start_at);
CREATE INDEX mark_draft_start ON mark_draft (start_at DESC, draft_id DESC);
CREATE INDEX mark_draft_open ON mark_draft (start_at DESC, draft_id DESC) WHERE NOT settled;
