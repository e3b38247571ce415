"""Encoders of histories by name."""

import pytest

from mmrec_tf.config_models import HistoryConfig
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


def test_an_encoder_of_your_own(monkeypatch):
    class Own(MeanHistory):
        pass

    monkeypatch.setattr(registry, "_ENCODERS", dict(registry._ENCODERS))
    register_history_encoder("own", Own)
    assert type(build_history_encoder("own", 4, 6)) is Own
    with pytest.raises(ConfigError, match="takes a subclass of HistoryEncoder, got <class 'int'>"):
        register_history_encoder("whole", int)
