"""Fitting models: compilation, schedules, early stopping."""

from mmrec_tf._keras import speed_up_autograph

speed_up_autograph()
