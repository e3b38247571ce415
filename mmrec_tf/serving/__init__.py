"""Serving: SavedModels for TensorFlow Serving, and an embedded server that answers the same REST API."""
