"""Encoders that learn from the interactions: which of their weights do, at what rate, and how these are kept.

A TF-Hub module is a closed graph, in which no adapter has a place. So the pretrained encoders that this package builds
also exist as networks made of layers, with the weights of the built module.
"""

from mmrec_tf.encoders.tuning.native import native_encoder
from mmrec_tf.encoders.tuning.plan import TuningPlan, plan_tuning
from mmrec_tf.encoders.tuning.tuned_weights import load_tuned, save_tuned

__all__ = ["TuningPlan", "load_tuned", "native_encoder", "plan_tuning", "save_tuned"]
