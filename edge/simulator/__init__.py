"""Imaginary works for the demo, for tests and for scoring rules: rows by seed, faults and orders, and their truth."""
