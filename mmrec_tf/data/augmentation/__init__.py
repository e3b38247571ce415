"""Random changes to the content that encoders are trained on, one module a modality: `image`, `audio`.

An encoder that is tuned on a few thousand items learns their very pixels and samples by heart; one that never meets
the same picture twice has to learn what makes it that item. Everything here takes a seed and keeps no state.
"""
