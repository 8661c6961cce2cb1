"""Numbered, forward-only SQL; `NNNN_name[.condition].sql`, applied by `store.migrate`."""
