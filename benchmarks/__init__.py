"""Figures, each measured by one module: `python -m benchmarks.NAME --json`. Results are kept in RESULTS.md."""
