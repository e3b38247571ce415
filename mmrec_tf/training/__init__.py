"""Fitting models: compilation, schedules, early stopping."""
