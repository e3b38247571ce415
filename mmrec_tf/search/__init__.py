"""Settings chosen by training with them: what may be tried, what is tried next, what came of it."""
