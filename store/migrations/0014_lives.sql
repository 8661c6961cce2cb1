-- Why an alert is not brought to anybody's attention for now, and the silences that people ask for. Suppression marks.

ALTER TABLE alert
    ADD COLUMN suppressed_by jsonb,     -- a list of reasons, as alerts.suppression gives them; null: none
    ADD COLUMN plant_silence bigint;    -- the plant's own silence: it is quiet for the plant alone
CREATE INDEX alert_stack_period ON alert (stack_id, period_start);
CREATE INDEX alert_live_stack ON alert (stack_id) WHERE state IN ('firing', 'acknowledged');

ALTER TABLE alert_event DROP CONSTRAINT alert_event_event_check;
ALTER TABLE alert_event ADD CONSTRAINT alert_event_event_check CHECK (event IN (
    'opened', 'changed', 'acknowledged', 'resolved', 'reopened', 'withdrawn',
    'escalated', 'stepped_down', 'suppressed', 'unsuppressed'));

CREATE TABLE silence (  -- never deleted: who wanted quiet, and why, stays known
    silence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    region_id integer REFERENCES region,    -- what it matches: all that is not null, and not an empty list
    site_id integer REFERENCES site,
    stack_id integer REFERENCES stack,
    rules text[] NOT NULL DEFAULT '{}',
    severities text[] NOT NULL DEFAULT '{}',
    audience text NOT NULL CHECK (audience IN ('everyone', 'plant')),   -- a plant's own is for the plant alone
    owner text NOT NULL,                    -- whom to ask
    reason text NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,                   -- before its end, by a person
    ended_by text,
    ended_why text,
    in_force boolean NOT NULL DEFAULT false,    -- as the alerts are marked: the leader follows the clock
    CHECK (start_at < end_at AND end_at <= start_at + interval '31 days'),
    CHECK (region_id IS NOT NULL OR site_id IS NOT NULL),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX silence_ahead ON silence (end_at) WHERE in_force OR ended_at IS NULL;
CREATE INDEX silence_in_force ON silence (silence_id) WHERE in_force;

CREATE TABLE stack_stopped (    -- stacks whose source stands still in the newest hour that ended, as last reviewed
    stack_id integer PRIMARY KEY REFERENCES stack
);

-- As before, with what suppresses it; an alert about stackwatch itself has no site.
CREATE OR REPLACE VIEW alert_document AS
SELECT
    a.alert_id,
    a.site_id,
    a.stack_id,
    jsonb_build_object(
        'id', a.alert_id,
        'rule', a.rule,
        'severity', a.severity,
        'state', a.state,
        'region', r.code,
        'site', s.code,
        'stack', k.code,
        'pollutant', a.pollutant,
        'pack', a.pack,
        'period_start', utc_text(a.period_start),
        'period_end', utc_text(a.period_end),
        'started_at', utc_text(a.started_at),
        'ended_at', utc_text(a.ended_at),
        'opened_at', utc_text(a.opened_at),
        'observed', a.observed,
        'limit', a.limit_value,
        'unit', a.unit,
        'clause', a.clause,
        'evidence', a.evidence,
        'acknowledged_by', a.acknowledged_by,
        'acknowledged_at', utc_text(a.acknowledged_at),
        'acknowledged_note', a.acknowledged_note,
        'suppressed_by', a.suppressed_by,
        'plant_silence', a.plant_silence
    ) AS document
FROM alert a
LEFT JOIN site s USING (site_id)
LEFT JOIN region r USING (region_id)
LEFT JOIN stack k ON k.stack_id = a.stack_id;
