"""Raw text, images and sound into vectors: one contract, built-in encoders, and modules in TF-Hub's format."""

from mmrec_tf._keras import speed_up_autograph

speed_up_autograph()
