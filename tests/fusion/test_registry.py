"""Fusions by name."""

import numpy as np
import pytest
import tf_keras

from mmrec_tf.config import FusionConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import ConcatFusion, Fusion, build_fusion, fusion_names, register_fusion, registry
from tests import tiny_world


def test_the_configuration_names_the_fusion_and_its_arguments():
    fusion = build_fusion(FusionConfig(method="concat", dim=12, modality_dropout=0.25))
    assert type(fusion) is ConcatFusion
    assert (fusion.dim, fusion.modality_dropout) == (12, 0.25)


def test_every_method_of_the_list_is_there():
    assert fusion_names() == [
        "attention", "attention_pooling", "bilinear", "co_attention", "concat", "cross_attention", "encoder_decoder",
        "gated", "multilinear", "weighted_sum",
    ]  # fmt: skip
    # The configuration's own text names the same.
    assert all(f"`{name}`" in FusionConfig.__doc__ for name in fusion_names())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("attention", {"heads": 2}),
        ("attention_pooling", {"heads": 6}),
        ("co_attention", {"heads": 3, "layers": 2}),
        ("cross_attention", {"heads": 1, "query": "text"}),
        ("bilinear", {"rank": 5}),
        ("multilinear", {"rank": 2}),
        ("encoder_decoder", {"reconstruction_weight": 0.0}),
    ],
)
def test_options_reach_the_method(method, options):
    given = build_fusion(FusionConfig(method=method, dim=12, **options))
    default = build_fusion(FusionConfig(method=method, dim=12))
    assert {name: getattr(given, name) for name in options} == options
    assert all(getattr(default, name) != value for name, value in options.items())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("concat", {"rank": 3}, "fusion.rank is no option of concat, which takes none"),
        ("multilinear", {"rank": 3, "heads": 2}, "fusion.heads is no option of multilinear, which takes rank"),
        ("attention", {"query": "text"}, "fusion.query is no option of attention, which takes heads"),
    ],
)
def test_options_of_other_methods_are_refused(method, options, message):
    with pytest.raises(ConfigError, match=message):
        build_fusion(FusionConfig(method=method, **options))


@pytest.mark.parametrize(
    "options", [{"heads": 0}, {"layers": 13}, {"rank": 0}, {"reconstruction_weight": -1.0}, {"modality_dropout": 1.0}]
)
def test_options_out_of_their_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        FusionConfig(**options)


def test_a_query_that_is_no_feature_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="fusion.query 'imgae' is no item feature.*Did you mean 'image'.*text, image"):
        tiny_world.config(fusion={"method": "cross_attention", "query": "imgae"})


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'concatt' is unknown. Did you mean 'concat'\? Allowed: attention, "):
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
