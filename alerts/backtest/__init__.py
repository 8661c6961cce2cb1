"""Judging history again: from the database or a folder of recordings, under today's packs or others."""
