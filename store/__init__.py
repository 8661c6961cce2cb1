"""PostgreSQL and TimescaleDB: the only package that speaks SQL."""
