"""The rule stage: committed hours to verdicts, alerts, cases and orders."""
