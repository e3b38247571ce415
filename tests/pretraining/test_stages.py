"""The stages before and after the fit: what they change, their order, and how they are taken up again."""

import json

import numpy as np
import pytest

from mmrec_tf import stages as training
from mmrec_tf.config import Config
from mmrec_tf.pretraining.stages import pretrain, pretrained_two_tower
from mmrec_tf.workflow import train_run
from tests import tiny_world
from tests.pretraining.worlds import Killed, assert_same_weights, file_config, killed_after, weights_of, world

BEFORE = ("masked_modality", "cross_modal", "denoising", "masked_item")


@pytest.mark.slow
@pytest.mark.parametrize("stage", BEFORE)
def test_a_stage_learns_what_it_is_asked(stage, tmp_path):
    model, prepared = world(tmp_path, {"stage": stage, "epochs": 15, "learning_rate": 0.01})
    before = [variable.numpy() for variable in model.items.trainable_variables]
    history = pretrain(model, prepared, prepared.config)[stage].history
    assert len(history["loss"]) == 15
    assert np.mean(history["loss"][-3:]) < 0.9 * history["loss"][0]
    after = [variable.numpy() for variable in model.items.trainable_variables]
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(before, after))


def test_stages_run_in_their_order_each_under_its_own_name(tmp_path):
    model, prepared = world(tmp_path, {"stage": "denoising", "epochs": 1}, {"stage": "denoising", "epochs": 2})
    results = pretrain(model, prepared, prepared.config)
    assert {name: len(result.history["loss"]) for name, result in results.items()} == {"denoising": 1, "denoising-2": 2}


@pytest.mark.parametrize(
    "stage", ["cross_modal", pytest.param("masked_item", marks=[pytest.mark.slow, pytest.mark.thorough])]
)
def test_killed_stages_end_with_the_weights_of_uninterrupted_ones(stage, tmp_path):
    settings = [{"stage": "denoising", "epochs": 2}, {"stage": stage, "epochs": 3, "batch_size": 16}]
    told = []

    def killed(description, done, total):
        told.append((description, done))
        if description == f"pretraining {stage}" and done == 2:
            raise Killed

    model, prepared = world(tmp_path, *settings)
    pretrain(model, prepared, prepared.config)
    again, prepared = world(tmp_path, *settings)
    with pytest.raises(Killed):
        pretrain(again, prepared, prepared.config, tmp_path / "stages", killed)
    again, prepared = world(tmp_path, *settings)
    results = pretrain(again, prepared, prepared.config, tmp_path / "stages")
    assert {name: result.reused for name, result in results.items()} == {"denoising": 2, stage: 2}
    assert_same_weights(weights_of(again), weights_of(model))


@pytest.mark.slow
def test_a_change_of_the_first_stage_or_of_the_data_recomputes_the_second(tmp_path):
    def reused(epochs=1, text=0.0):
        model, prepared = world(
            tmp_path, {"stage": "denoising", "epochs": epochs}, {"stage": "cross_modal", "epochs": 1}
        )
        vectors = prepared.items.vectors["text"]
        vectors[1] += text
        model.items.lookup.tables["vectors"]["text"].assign(vectors)
        results = pretrain(model, prepared, prepared.config, tmp_path / "stages")
        return [result.reused for result in results.values()]

    assert reused() == [0, 0]
    assert reused() == [1, 1]
    assert reused(epochs=2) == [0, 0]
    assert reused(text=0.1) == [0, 0]


def test_first_weights_of_a_model_with_stages_depend_on_the_seed_alone(tmp_path):
    _, prepared = world(tmp_path, {"stage": "linear_alignment", "dim": 2})
    found = []
    for draws in (0, 3):
        np.random.random(draws)
        tiny_world.two_tower()
        found.append(weights_of(pretrained_two_tower(prepared)[0]))
    assert_same_weights(*found)


def test_the_warm_up_model_of_a_tuned_encoder_runs_no_stages(tmp_path, monkeypatch):
    prepared = tiny_world.prepared(tmp_path, pretraining=["denoising", "pseudo_labels"], train={"epochs": 1})
    monkeypatch.setattr(training, "features_to_tune", lambda config: [prepared.data.schema.item[0]])
    monkeypatch.setattr(training, "encoder_config", lambda config, feature: None)
    seen = []

    def stop(*arguments, **options):
        raise Killed

    monkeypatch.setattr(
        training, "fit", lambda model, dataset, **options: seen.append(options["description"]) or {"loss": [0.0]}
    )
    monkeypatch.setattr(training, "tune_encoder", stop)
    with pytest.raises((Killed, AttributeError)):
        training.tune_encoders(prepared, {prepared.data.schema.item[0].name: None}, lambda *step: seen.append(step[0]))
    assert seen == ["training retrieval"] and not (prepared.config.store / "pretraining").exists()


def test_training_keeps_its_stages_beside_the_store(tmp_path):
    prepared = tiny_world.prepared(
        tmp_path, pretraining=[{"stage": "denoising", "epochs": 2}], train={"epochs": 1, "batch_size": 36}
    )
    with pytest.raises(Killed):
        training.train_retrieval(prepared, killed_after(1))
    _, history = training.train_retrieval(prepared)
    assert len(history["denoising: loss"]) == 2 and len(history["loss"]) == 1
    (folder,) = (prepared.config.store / "pretraining").iterdir()
    assert json.loads((folder / "state.json").read_text())["finished"]
    _, without = training.train_retrieval(prepared, with_stages=False)
    assert set(without) == {name for name in history if not name.startswith("denoising")}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["masked_modalty"], "Did you mean 'masked_modality'"),
        ([{"epochs": 3}], "does not say which stage"),
        ([{"stage": "denoising", "nois": 1}], "Did you mean 'noise'"),
        ([{"stage": "cross_modal", "pairs": [["text", "text"]]}], "two different item features"),
        ([{"stage": "masked_language", "epochs": 3, "max_steps": 2}], "less than one step"),
        ([{"stage": "linear_alignment", "epochs": 3}], "linear_alignment has no setting 'epochs'"),
        ([{"stage": "linear_alignment", "method": "pca"}], "cca"),
        ([{"stage": "masked_modality", "temperature": 2.0}], "less than or equal to 1"),
    ],
)
def test_what_the_section_refuses(stages, message):
    with pytest.raises(ValueError, match=message):
        tiny_world.config(pretraining=stages)


def test_the_section_survives_yaml_and_accepts_names():
    config = tiny_world.config(
        pretraining=["denoising", "linear_alignment", {"stage": "cross_modal", "method": "sigmoid"}]
    )
    assert [stage.stage for stage in config.pretraining] == ["denoising", "linear_alignment", "cross_modal"]
    again = Config.model_validate(config.model_dump(mode="json", by_alias=True))
    assert again.pretraining == config.pretraining


@pytest.mark.slow
def test_a_run_keeps_the_history_of_its_stages(tmp_path):
    config = file_config(
        tmp_path,
        "linear_alignment",
        {"stage": "masked_item", "epochs": 2},
        train={"epochs": 1},
        ranking={"enabled": False},
    )
    run = train_run(config, tmp_path / "run")
    history = json.loads((run.folder / "history.json").read_text())["history"]["retrieval"]
    assert len(history["masked_item: loss"]) == 2 and len(history["loss"]) == 1
    assert max(history["linear_alignment: correlation of image and text"]) <= 1.0
    # Curves are by epoch, of which a stage that is solved has none.
    assert "correlation of" not in (run.folder / "report.html").read_text(encoding="utf-8")
