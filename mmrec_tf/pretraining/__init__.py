"""Self-supervised and semi-supervised stages that warm up the parts of a model, each a fit of its own."""

from mmrec_tf._keras import speed_up_autograph

speed_up_autograph()
