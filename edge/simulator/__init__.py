"""An imaginary works for the demo and for tests: every minute a pure function of seed, scenario and orders."""
