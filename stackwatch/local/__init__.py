"""The embedded stack behind `stackwatch up` and `stackwatch demo`: database, broker and processes on one machine."""
