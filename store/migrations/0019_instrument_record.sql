-- What was done at an instrument, as those say who did it: calibrations, comparisons, changed parameters, maintenance.

CREATE TABLE instrument_record (
    record_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    stack_id integer NOT NULL REFERENCES stack,
    instrument text NOT NULL,
    channels text[] NOT NULL DEFAULT '{}',  -- none named: all of the instrument's
    kind text NOT NULL CHECK (kind IN ('calibration', 'comparison', 'parameter', 'maintenance')),
    at timestamptz NOT NULL,        -- when it was done, not when it was written down
    note text NOT NULL,
    figures jsonb NOT NULL DEFAULT '{}',    -- readings and references, old and new values
    filed_by text NOT NULL,
    filed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX instrument_record_stack ON instrument_record (stack_id, kind, at);

CREATE TRIGGER instrument_record_append_only BEFORE UPDATE OR DELETE ON instrument_record
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER instrument_record_no_truncate BEFORE TRUNCATE ON instrument_record
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
