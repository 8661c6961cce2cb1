"""What a plant is, measures and must obey: pure decisions, standard library and numpy only."""
