"""The embedded stack behind `stackwatch up` and `demo`: database, broker and processes on one machine."""
