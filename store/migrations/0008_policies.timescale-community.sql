-- Only under the community licence: raw rows into the columnstore after a month, dropped after a year.

ALTER TABLE measurement SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'stack_id, instrument',
    timescaledb.compress_orderby = 'sampled_at'
);
SELECT add_compression_policy('measurement', interval '30 days');
SELECT add_retention_policy('measurement', interval '1 year');
