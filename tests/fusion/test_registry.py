"""Fusions by name."""

import numpy as np
import pytest
import tf_keras

from mmrec_tf.config import FusionConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import ConcatFusion, Fusion, build_fusion, register_fusion, registry


def test_the_configuration_names_the_fusion_and_its_arguments():
    fusion = build_fusion(FusionConfig(method="concat", dim=12, modality_dropout=0.25))
    assert type(fusion) is ConcatFusion
    assert (fusion.dim, fusion.modality_dropout) == (12, 0.25)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'concatt' is unknown. Did you mean 'concat'\? Allowed: concat"):
        build_fusion(FusionConfig(method="concatt"))


def test_a_fusion_of_ones_own_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(registry, "_FUSIONS", dict(registry._FUSIONS))

    class Sum(Fusion):
        def fuse(self, features, masks):
            return tf_keras.layers.add(list(features.values()))

    register_fusion("sum", Sum)
    fusion = build_fusion(FusionConfig(method="sum", dim=2, modality_dropout=0.0))
    # The second item has no b, whose stand-in is zero before training.
    features = {"a": np.array([[1.0, 2.0]] * 2), "b": np.array([[3.0, 4.0]] * 2)}
    output = fusion(features, {"a": np.array([True, True]), "b": np.array([True, False])})
    assert output.numpy().tolist() == [[4, 6], [1, 2]]
