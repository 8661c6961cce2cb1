-- What is reported goes by time as the measurements do: small chunks for many stacks' minutes, same keys, same queries.

SELECT create_hypertable('reported_mean', 'sampled_at', chunk_time_interval => interval '7 days',
                         create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('signal', 'sampled_at', chunk_time_interval => interval '1 day',
                         create_default_indexes => false, migrate_data => true);
