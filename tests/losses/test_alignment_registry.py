"""Alignment losses by name."""

import pytest
import tensorflow as tf

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses import alignment_registry
from mmrec_tf.losses.alignment import Alignment
from mmrec_tf.losses.alignment_registry import alignment_names, build_alignment, register_alignment
from mmrec_tf.losses.triplet import TripletAlignment


def test_names_and_options():
    assert alignment_names() == ["cca", "contrastive", "sigmoid", "triplet"]
    layer = build_alignment("triplet", dim=7, margin=0.4)
    assert type(layer) is TripletAlignment and (layer.dim, layer.margin) == (7, 0.4)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'contrastiv' is unknown. Did you mean 'contrastive'\? Allowed: cca, contr"):
        build_alignment("contrastiv")


def test_an_option_of_another_method_is_refused():
    with pytest.raises(ConfigError, match="temperature is no option of the alignment triplet. It takes dim, margin"):
        build_alignment("triplet", temperature=0.1)


def test_a_loss_of_ones_own_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(alignment_registry, "_ALIGNMENTS", dict(alignment_registry._ALIGNMENTS))

    class OnlyPositives(Alignment):
        def loss(self, similarity, counted, negative):
            return tf.reduce_mean(1.0 - tf.linalg.diag_part(similarity))

    register_alignment("positives", OnlyPositives)
    there = tf.ones([2], bool)
    # Cosines of the own pairs: 1 and 0.
    loss = build_alignment("positives", dim=None)(
        (tf.eye(2), tf.constant([[2.0, 0.0], [3.0, 0.0]])), masks=(there, there)
    )
    assert float(loss) == pytest.approx(0.5)
