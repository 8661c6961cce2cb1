-- Only where the timescaledb extension is: the time-series tables become hypertables, same keys, same queries.
-- The newest chunk's indexes are to stay in memory; the arithmetic is in docs/storage.md.
-- No default index on the time alone: every query knows its stack, and a row would pay for it at each insert.

SELECT create_hypertable('measurement', 'sampled_at', chunk_time_interval => interval '1 day',
                         create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('hour_mean', 'start', chunk_time_interval => interval '7 days',
                         create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('hour_verdict', 'start', chunk_time_interval => interval '7 days',
                         create_default_indexes => false, migrate_data => true);
