"""The suspend-until-compliant workflow: an append-only history that people write."""
