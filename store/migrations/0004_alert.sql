-- One finding's life. The id is a function of rule, pack, stack, pollutant and period.

CREATE TABLE alert (
    alert_id text PRIMARY KEY,
    rule text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'major', 'critical')),
    state text NOT NULL CHECK (state IN ('firing', 'acknowledged', 'resolved', 'withdrawn')),
    site_id integer NOT NULL REFERENCES site,
    stack_id integer REFERENCES stack,
    pollutant text,
    pack text,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    observed double precision,
    limit_value double precision,
    unit text,
    clause text NOT NULL,
    evidence jsonb NOT NULL,        -- the numbers it was decided on, with the revision of the hour or month
    opened_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_by text,
    acknowledged_at timestamptz,
    acknowledged_note text
);
CREATE INDEX alert_series ON alert (stack_id, rule, pack, pollutant, period_start);
CREATE INDEX alert_period ON alert (period_start DESC, alert_id DESC);
CREATE INDEX alert_live ON alert (site_id) WHERE state IN ('firing', 'acknowledged');

CREATE TABLE alert_evidence (  -- the rows it stood on, copied when it opened
    alert_id text PRIMARY KEY REFERENCES alert,
    body jsonb NOT NULL
);

CREATE TABLE alert_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id text NOT NULL REFERENCES alert,
    event text NOT NULL CHECK (event IN ('opened', 'changed', 'acknowledged', 'resolved', 'reopened', 'withdrawn')),
    at timestamptz NOT NULL DEFAULT now(),
    document jsonb NOT NULL,        -- the alert as it then was
    feed_number bigint UNIQUE       -- given after commit by the one sequencer
);
CREATE INDEX alert_event_alert ON alert_event (alert_id, event_id);
CREATE INDEX alert_event_unnumbered ON alert_event (event_id) WHERE feed_number IS NULL;

CREATE FUNCTION utc_text(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(
        at AT TIME ZONE 'UTC',
        CASE WHEN date_trunc('second', at) = at THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
             ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END)
$$;

-- The alert as everybody sees it: the API's answer, the feed's data and the exported file are this one document.
CREATE VIEW alert_document AS
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
        'acknowledged_note', a.acknowledged_note
    ) AS document
FROM alert a
JOIN site s USING (site_id)
JOIN region r USING (region_id)
LEFT JOIN stack k ON k.stack_id = a.stack_id;
