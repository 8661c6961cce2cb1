"""The rules, one module each: values with a `judge`, no clock, no database."""
