-- Only under the community licence: what hardly ever changes any more goes into the columnstore.
-- Rows after a month: late ones come in the first days. Hours after 400 days: their rows are gone by then
-- (store.retention), so nothing can change them. What is dropped when is our own policy, under every licence the same.

ALTER TABLE measurement SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'stack_id, instrument',
    timescaledb.compress_orderby = 'sampled_at'
);
SELECT add_compression_policy('measurement', interval '30 days');

ALTER TABLE hour_mean SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'stack_id, pollutant, averaging',
    timescaledb.compress_orderby = 'start, revision'
);
SELECT add_compression_policy('hour_mean', interval '400 days');

ALTER TABLE hour_verdict SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'stack_id, pollutant, pack',
    timescaledb.compress_orderby = 'start, revision'
);
SELECT add_compression_policy('hour_verdict', interval '400 days');
