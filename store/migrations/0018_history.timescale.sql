-- What rules look back on goes by time as the means do: same keys, same queries.

SELECT create_hypertable('hour_feature', 'start', chunk_time_interval => interval '7 days',
                         create_default_indexes => false, migrate_data => true);
