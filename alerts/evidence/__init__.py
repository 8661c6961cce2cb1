"""Evidence: what an exported alert carries, and redoing it without a network, a database or a clock."""
