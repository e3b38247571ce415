"""Training objectives and their corrections."""
