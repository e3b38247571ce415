"""Raw text, images and sound into vectors: one contract, built-in encoders, and modules in TF-Hub's format."""
