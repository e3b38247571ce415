"""The stages before and after the fit: what they change, what they help, how they are taken up again."""

import json

import numpy as np
import pytest
import tf_keras

from mmrec_tf.config import Config
from mmrec_tf.errors import ConfigError
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.pretraining.stages import pretrain, refine
from mmrec_tf.workflow import train_run
from tests import tiny_world

BEFORE = ("masked_modality", "cross_modal", "denoising", "masked_item")


def world(folder, *stages, **sections):
    prepared = tiny_world.prepared(folder, pretraining=list(stages), **sections)
    # Same weights to begin with each time.
    tf_keras.utils.set_random_seed(0)
    model = build_two_tower(prepared.config, prepared.users, prepared.items, prepared.sequences().item_index)
    return model, prepared


@pytest.mark.parametrize("stage", BEFORE)
def test_a_stage_learns_what_it_is_asked(stage, tmp_path):
    model, prepared = world(tmp_path, {"stage": stage, "epochs": 15, "learning_rate": 0.01})
    model.create_weights(tiny_world.HISTORY)
    before = [variable.numpy() for variable in model.items.trainable_variables]
    history = pretrain(model, prepared, prepared.config)[stage]
    assert len(history["loss"]) == 15
    assert np.mean(history["loss"][-3:]) < 0.9 * history["loss"][0]
    after = [variable.numpy() for variable in model.items.trainable_variables]
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(before, after))


def test_stages_run_in_their_order_each_under_its_own_name(tmp_path):
    model, prepared = world(tmp_path, {"stage": "denoising", "epochs": 1}, {"stage": "denoising", "epochs": 2})
    history = pretrain(model, prepared, prepared.config)
    assert {name: len(values["loss"]) for name, values in history.items()} == {"denoising": 1, "denoising-2": 2}


def test_a_finished_stage_is_loaded_and_gives_the_same_weights(tmp_path):
    stage = {"stage": "masked_modality", "epochs": 2}
    told = []
    for _ in range(2):
        model, prepared = world(tmp_path, stage)
        pretrain(model, prepared, prepared.config, tmp_path / "stages", lambda *step: told.append(step))
        found = [variable.numpy() for variable in model.items.trainable_variables]
        told.append(found)
    first, second = (entry for entry in told if isinstance(entry, list))
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)
    # Begun, two epochs; the second time it is finished at once.
    steps = [entry[1:] for entry in told if isinstance(entry, tuple)]
    assert steps == [(0, 2), (1, 2), (2, 2), (2, 2)]


def test_a_stage_that_makes_the_model_worse_is_undone(tmp_path):
    model, prepared = world(tmp_path, {"stage": "pseudo_labels", "epochs": 1, "few": 100, "confidence": 0.1})
    model.create_weights(tiny_world.HISTORY)
    before = [variable.numpy() for variable in model.trainable_variables]
    scores = iter([0.5, 0.4])
    history = refine(model, prepared, prepared.config, score=lambda: next(scores))
    assert history["pseudo_labels"]["score"] == [0.5, 0.4]
    for variable, value in zip(model.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["masked_modalty"], "Did you mean 'masked_modality'"),
        ([{"epochs": 3}], "does not say which stage"),
        ([{"stage": "denoising", "nois": 1}], "Did you mean 'noise'"),
        ([{"stage": "cross_modal", "pairs": [["text", "text"]]}], "two different item features"),
        ([{"stage": "masked_language", "epochs": 3, "max_steps": 2}], "less than one step"),
    ],
)
def test_what_the_section_refuses(stages, message):
    with pytest.raises(ValueError, match=message):
        tiny_world.config(pretraining=stages)


def test_the_section_survives_yaml_and_accepts_names():
    config = tiny_world.config(pretraining=["denoising", {"stage": "cross_modal", "method": "sigmoid"}])
    assert [stage.stage for stage in config.pretraining] == ["denoising", "cross_modal"]
    again = Config.model_validate(config.model_dump(mode="json", by_alias=True))
    assert again.pretraining == config.pretraining


def test_language_modelling_needs_to_know_its_feature(tmp_path):
    from mmrec_tf.pretraining.stages import pretrain_encoders

    data = tiny_world.rec_data()
    config = tiny_world.config(pretraining=["masked_language"])
    with pytest.raises(ConfigError, match="there are 0"):
        pretrain_encoders({}, data, config)


@pytest.mark.slow
def test_a_run_keeps_the_history_of_its_stages(tmp_path):
    data = tiny_world.rec_data()
    data.interactions.to_csv(tmp_path / "interactions.csv", index=False)
    items = data.items.copy()
    for feature in data.schema.item:
        if feature.kind == "multi_categorical":
            items[feature.name] = items[feature.name].map("|".join)
        if feature.kind == "vector":
            items[feature.name] = [
                "" if vector is None else "|".join(str(float(number)) for number in vector)
                for vector in items[feature.name]
            ]
    items.to_csv(tmp_path / "items.csv", index=False)
    users = data.users.copy()
    users.to_csv(tmp_path / "users.csv", index=False)
    tables = {name: tmp_path / f"{name}.csv" for name in ("interactions", "items", "users")}
    config = tiny_world.config(
        pretraining=[{"stage": "masked_item", "epochs": 2}],
        data=tables,
        store=tmp_path / "store",
        train={"epochs": 1, "ranking": {"epochs": 1}},
    )
    run = train_run(config, tmp_path / "run")
    history = json.loads((run.folder / "history.json").read_text())["history"]["retrieval"]
    assert len(history["masked_item: loss"]) == 2 and len(history["loss"]) == 1
