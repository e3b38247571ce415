"""Stages on encoders: which encoder is meant, what becomes of it, and that a run gives it back."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config import Config
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import ConfigError, EncoderError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.pretraining.encoder_stages import encoder_to_pretrain, pretrain_encoders, pretrained_features
from mmrec_tf.run import Run
from mmrec_tf.workflow import pretrain_stages, train_run
from tests import tale_world
from tests.pretraining.worlds import MASKED_WORDS, masked_module

STAGE = {"stage": "masked_language", "epochs": 1, "batch_size": 64, "learning_rate": 0.003, "max_steps": 3}


def settings(folder, *stages, tuning="frozen", **sections) -> Config:
    module = folder / "module"
    if not module.exists():
        masked_module(module)
    config = tale_world.config(module, folder, tuning)
    dumped = {**config.model_dump(mode="json", by_alias=True), "pretraining": list(stages), **sections}
    return Config.model_validate(dumped)


def encoder_of(config):
    """What is trained, before it has learned."""
    return {"tale": SentenceBertEncoder(str(config.encoders["tale"].path), max_tokens=8)}


def test_an_encoder_learns_and_is_found_again_for_the_same_texts(tmp_path):
    config, data = settings(tmp_path, STAGE), tale_world.rec_data()
    plain = encoder_of(config)["tale"].fingerprint
    prints = []
    for expected in (0, 1):
        encoders = encoder_of(config)
        results = pretrain_encoders(encoders, data, config, tmp_path / "stages")
        assert results["masked_language"].reused == expected
        assert len(results["masked_language"].history["accuracy"]) == 1
        prints.append(encoders["tale"].fingerprint)
    assert prints[0] == prints[1] != plain
    items = data.items.assign(tale=data.items["tale"].where(data.items.index > 0, "word9 word8"))
    changed = dataclasses.replace(data, items=items)
    results = pretrain_encoders(encoder_of(config), changed, config, tmp_path / "stages", only_load=True)
    assert results["masked_language"].reused == 0


def test_to_ask_trains_nothing(tmp_path):
    config, data = settings(tmp_path, STAGE), tale_world.rec_data()
    encoders = encoder_of(config)
    before = encoders["tale"].fingerprint
    pretrain_encoders(encoders, data, config, tmp_path / "stages", only_load=True)
    assert encoders["tale"].fingerprint == before and not (tmp_path / "stages").exists()


def test_a_frozen_encoder_is_replaced_by_the_network_it_was_made_from(tmp_path):
    config, data = settings(tmp_path, STAGE), tale_world.rec_data()

    class Closed(HubEncoder):
        """In the place of a module, whose graph takes long to write."""

        def __init__(self):
            tf.keras.layers.Layer.__init__(self)
            self.modality = "text"

    encoders = {"tale": Closed()}
    pretrain_encoders(encoders, data, config, only_load=True)
    assert isinstance(encoders["tale"], Closed)
    pretrain_encoders(encoders, data, config)
    assert isinstance(encoders["tale"], SentenceBertEncoder)


def test_the_feature_is_named_where_several_are_meant(tmp_path):
    config = settings(tmp_path, STAGE)
    assert pretrained_features(config) == ["tale"]
    assert pretrained_features(settings(tmp_path)) == []
    schema = tale_world.SCHEMA.model_dump()
    schema["item"].append({"name": "blurb", "kind": "text"})
    two = settings(tmp_path, STAGE, schema=schema)
    with pytest.raises(ConfigError, match="there are 2: blurb, tale"):
        pretrained_features(two)
    assert pretrained_features(settings(tmp_path, {**STAGE, "feature": "blurb"}, schema=schema)) == ["blurb"]
    with pytest.raises(ConfigError, match="'blurp' is no item feature of kind text. Did you mean 'blurb'"):
        pretrained_features(settings(tmp_path, {**STAGE, "feature": "blurp"}, schema=schema))


def test_an_encoder_without_word_pieces_is_refused(tmp_path):
    config, data = settings(tmp_path, STAGE), tale_world.rec_data()
    config.encoders["tale"].type = "hashed_text"
    with pytest.raises(EncoderError, match="got HashedTextEncoder"):
        pretrain_encoders({"tale": HashedTextEncoder(dim=8)}, data, config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tuning",
    [
        "frozen",
        pytest.param("adapter", marks=pytest.mark.thorough),
        pytest.param({"mode": "top", "blocks": 1}, marks=pytest.mark.thorough),
    ],
)
def test_a_run_gives_back_the_encoder_that_made_its_vectors(tmp_path, tuning):
    tuning = {"mode": tuning} if isinstance(tuning, str) else tuning
    tuning |= {} if tuning["mode"] == "frozen" else {"epochs": 1, "max_steps": 4, "learning_rate": 0.01}
    data = tale_world.rec_data()
    files = {name: tmp_path / f"{name}.csv" for name in ("interactions", "items")}
    for name, path in files.items():
        getattr(data, name).to_csv(path, index=False)
    masked_module(tmp_path / "module", with_graph=tuning["mode"] == "frozen")
    config = settings(tmp_path, STAGE, "pseudo_labels", tuning=tuning, data=files, train={"epochs": 2})
    if tuning["mode"] == "frozen":
        # The module splits texts by itself.
        config.encoders["tale"].max_tokens = None
    results, left = pretrain_stages(config)
    assert results["masked_language"].epochs == 1 and list(left) == ["pseudo_labels"]
    run = train_run(config, tmp_path / "run")
    history = json.loads((run.folder / "history.json").read_text())["history"]
    assert len(history["pretraining masked_language"]["loss"]) == 1
    encoder = Run(tmp_path / "run").load_encoder(run.load_config(), "tale")
    items = FeatureTable.load(run.folder / "features" / "items")
    expected = (encoder(tf.constant(tale_world.tales())) - items.centres["tale"]) / items.scales["tale"]
    np.testing.assert_allclose(items.vectors["tale"][1:], expected, atol=1e-3)
    plain = encoder_to_pretrain(config, "tale")
    assert len(MASKED_WORDS) == plain.network.vocabulary_size and plain.fingerprint != encoder.fingerprint
