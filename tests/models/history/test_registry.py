"""Encoders of histories by name."""

import inspect

import pytest

from mmrec_tf.config_models import HISTORY_ENCODERS, HISTORY_SETTINGS, HistoryConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.models.history import (
    AttentionPoolingHistory,
    GruHistory,
    MeanHistory,
    TransformerHistory,
    build_history_encoder,
    history_encoder_names,
    register_history_encoder,
    registry,
)
from tests import tiny_world

BY_NAME = {
    "attention_pooling": AttentionPoolingHistory,
    "gru": GruHistory,
    "mean": MeanHistory,
    "transformer": TransformerHistory,
}


def test_every_encoder_of_the_configuration_is_there():
    assert history_encoder_names() == list(BY_NAME)
    assert all(f"`{name}`" in HistoryConfig.__doc__ for name in BY_NAME)
    for name, encoder in BY_NAME.items():
        built = build_history_encoder(name, 4, 6)
        assert type(built) is encoder and (built.dim, built.length) == (4, 6)


def test_options_reach_the_encoder():
    built = build_history_encoder("transformer", 4, 6, blocks=3, heads=4, dropout=0.3, dtype="float64")
    assert (built.blocks, built.heads, built.dropout, built.dtype) == (3, 4, 0.3, "float64")


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ConfigError, match="'grus' is unknown. Did you mean 'gru'?"):
        build_history_encoder("grus", 4, 6)
    with pytest.raises(ConfigError, match="heads is no option of the history encoder mean. It takes none."):
        build_history_encoder("mean", 4, 6, heads=2)
    with pytest.raises(ConfigError, match="It takes blocks, heads, dropout."):
        build_history_encoder("transformer", 4, 6, layers=2)


def test_the_configuration_knows_what_each_encoder_is_made_with():
    assert {name: set(settings) for name, settings in HISTORY_ENCODERS.items()} == {
        name: set(inspect.signature(encoder.__init__).parameters) & set(HISTORY_SETTINGS)
        for name, encoder in BY_NAME.items()
    }
    with pytest.raises(ValueError, match="no history encoder 'grus'. Did you mean 'gru'. Allowed: mean, gru,"):
        tiny_world.config(retrieval={"history": {"encoder": "grus"}})


def test_an_encoder_of_your_own(monkeypatch):
    class Own(MeanHistory):
        def __init__(self, dim, length, heads=1, **kwargs):
            super().__init__(dim, length, **kwargs)
            self.heads = heads

    monkeypatch.setattr(registry, "_ENCODERS", dict(registry._ENCODERS))
    monkeypatch.setitem(HISTORY_ENCODERS, "own", ())
    register_history_encoder("own", Own)
    assert type(build_history_encoder("own", 4, 6)) is Own
    # Through the configuration, which gives it the settings that its init names.
    built = tiny_world.two_tower(history={"encoder": "own", "heads": 3, "blocks": 5}).query_tower.history
    assert type(built) is Own
    assert (built.dim, built.length, built.heads) == (tiny_world.DIM, tiny_world.HISTORY, 3)
    with pytest.raises(ConfigError, match="takes a subclass of HistoryEncoder, got <class 'int'>"):
        register_history_encoder("whole", int)
