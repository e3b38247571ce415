"""Towers and models: retrieval, ranking and the baselines they are measured against."""
