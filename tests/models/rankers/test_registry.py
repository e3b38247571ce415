"""Rankers by name."""

import inspect

import pytest
import tensorflow as tf

from mmrec_tf.config_ranking import RANKER_SETTINGS, RANKERS
from mmrec_tf.errors import ConfigError
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers import DeepFM, make_ranker, ranker_class, ranker_names, register_ranker, registry
from tests import tiny_world
from tests.models.rankers.worlds import one_pair


def lookups() -> dict[str, FeatureLookup]:
    return {
        name: FeatureLookup(shapes={}, size=2, id_vocabulary_size=2, vocabulary_sizes={}) for name in ("users", "items")
    }


def test_the_configuration_knows_the_rankers_and_their_own_settings():
    assert list(RANKERS) == ranker_names()
    for name, settings in RANKERS.items():
        parameters = inspect.signature(ranker_class(name)).parameters
        assert tuple(setting for setting in RANKER_SETTINGS if setting in parameters) == tuple(
            setting for setting in RANKER_SETTINGS if setting in settings
        ), name


def test_every_ranker_has_a_title_of_its_own():
    titles = [ranker_class(name).title for name in ranker_names()]
    assert all(titles) and len(set(titles)) == len(titles)


def test_settings_reach_the_ranker_and_hidden_only_where_there_is_a_deep_part():
    model = make_ranker("dcn", **lookups(), dim=3, hidden=[7], dropout=0.25, cross_layers=2, embedding_l2=0.5)
    assert (model.hidden, model.dropout, model.cross_layers, model.embedding_l2) == ([7], 0.25, 2, 0.5)
    assert not hasattr(make_ranker("fm", **lookups(), dim=3, hidden=[7], dropout=0.25), "hidden")


def test_refuses_unknown_names_and_settings():
    with pytest.raises(ConfigError, match="'deep_fm' is unknown. Did you mean 'deepfm'.*Allowed: deepfm, wide_deep"):
        make_ranker("deep_fm", **lookups(), dim=3)
    with pytest.raises(ConfigError, match="cross_layer is no setting of dcn. Did you mean 'cross_layers'"):
        make_ranker("dcn", **lookups(), dim=3, hidden=[], cross_layer=2)
    with pytest.raises(ConfigError, match="takes a subclass of Ranker, got <class 'int'>"):
        register_ranker("mine", int)


def test_a_ranker_of_ones_own_is_available_in_the_configuration(monkeypatch):
    class Flat(DeepFM):
        title = "flat"

        def __init__(self, users, items, dim, hidden, heads=3, **kwargs):
            super().__init__(users, items, dim, hidden, **kwargs)
            self.heads = heads

        def interactions(self, pairs, training):
            return tf.fill([pairs.item_vectors.shape[0]], float(self.heads))

    monkeypatch.setattr(registry, "_RANKERS", dict(registry._RANKERS))
    monkeypatch.setitem(RANKERS, "flat", ())
    register_ranker("flat", Flat)
    assert RANKERS["flat"] == ("heads",)
    model = tiny_world.ranker(model="flat", heads=5)
    scores = model({**one_pair([0] * 5), "item_index": tf.constant([3])})
    assert isinstance(model, Flat) and scores.shape == (1,)
