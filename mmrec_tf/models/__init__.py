"""Towers and models: retrieval, ranking and the baselines they are measured against."""

from mmrec_tf._keras import speed_up_autograph

speed_up_autograph()
