"""From the broker into the database: receive, decode, store, commit, acknowledge, give a receipt."""
