"""Marks: what the plant says of its own data. Drafts of marks from the rows, and what accepting a mark changes."""
