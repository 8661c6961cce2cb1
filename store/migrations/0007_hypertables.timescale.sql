-- Only where the timescaledb extension is: the time-series tables become hypertables, same keys, same queries.
-- Chunks of a week: a country's 25,000 stacks at one row a minute write 250 million rows a week into measurement.

SELECT create_hypertable('measurement', 'sampled_at', chunk_time_interval => interval '7 days', migrate_data => true);
SELECT create_hypertable('hour_mean', 'start', chunk_time_interval => interval '30 days', migrate_data => true);
SELECT create_hypertable('hour_verdict', 'start', chunk_time_interval => interval '30 days', migrate_data => true);
