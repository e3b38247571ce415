"""Fitting a stage: taken up where it was killed, loaded when it was finished, run again when something changed."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config_pretraining import DenoisingConfig
from mmrec_tf.data.whole_files import marked
from mmrec_tf.errors import RunError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.fitting import fit_stage
from tests.pretraining.worlds import Killed, Line, assert_same_weights, killed_after, line_data, weights_of

EPOCHS = 4


def fit(folder=None, rate=0.0, data=None, seed=3, progress=None, start=None, only_load=False, model=None, **settings):
    """The stage's model and result; the options are those of denoising, for what all stages have."""
    options = DenoisingConfig(**{"epochs": EPOCHS, "batch_size": 8, "learning_rate": 0.1, **settings})
    data = line_data() if data is None else data
    tf_keras.utils.set_random_seed(seed)
    told = {"folder": folder, "progress": progress, "only_load": only_load, "settings": model}
    model = Line(rate)
    if start is not None:
        model.line.build((None, 3))
        model.line.kernel.assign(np.float32(start)[:, None])
    batches, sources = Batches(data, options.batch_size, seed), list(data.values())
    return model, fit_stage(model, batches, options, sources=sources, seed=seed, **told)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder, model and result of a finished stage; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, *fit(folder)


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    """Folder of a stage that was killed after two epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("half_done")
    with pytest.raises(Killed):
        fit(folder, progress=killed_after(2))
    return folder


def stage_folder(folder):
    (found,) = folder.iterdir()
    return found


def test_another_setting_of_the_model_is_another_stage(tmp_path):
    assert fit(tmp_path, model={"retrieval": {"dropout": 0.1}})[1].reused == 0
    assert fit(tmp_path, model={"retrieval": {"dropout": 0.1}})[1].reused == EPOCHS
    assert fit(tmp_path, model={"retrieval": {"dropout": 0.2}})[1].reused == 0


def test_it_learns_and_logs_every_epoch():
    model, result = fit(epochs=40)
    np.testing.assert_allclose(model.line.kernel[:, 0], [1.0, -2.0, 0.5], atol=0.05)
    assert len(result.history["loss"]) == result.epochs == 40 and result.reused == 0
    # With weights of zero the first loss is near the mean of y squared.
    assert result.history["loss"][0] == pytest.approx(np.mean(line_data()["y"] ** 2), rel=0.3)


def test_a_killed_stage_ends_with_the_weights_of_an_uninterrupted_one(half_done, finished, tmp_path):
    shutil.copytree(half_done, tmp_path, dirs_exist_ok=True)
    state = json.loads((stage_folder(tmp_path) / "state.json").read_text())
    assert (state["epochs_done"], state["finished"], len(state["history"]["loss"])) == (2, False, 2)
    told = []
    model, resumed = fit(tmp_path, progress=lambda *step: told.append(step[1:]))
    assert resumed.reused == 2 and told == [(2, EPOCHS), (3, EPOCHS), (4, EPOCHS)]
    assert_same_weights(weights_of(model), weights_of(finished[1]))
    assert resumed.history == finished[2].history


def test_so_does_one_whose_layers_draw(tmp_path):
    # Saved five times in seven epochs, that is after each second one and the last.
    model, result = fit(rate=0.4, epochs=7)
    with pytest.raises(Killed):
        fit(tmp_path, rate=0.4, epochs=7, progress=killed_after(5))
    again, resumed = fit(tmp_path, rate=0.4, epochs=7)
    assert resumed.reused == 4
    assert_same_weights(weights_of(again), weights_of(model))
    assert resumed.history == result.history


def test_draws_of_layers_differ_between_epochs_and_seeds():
    # One batch an epoch and hardly any learning: only what is dropped can make the losses differ.
    still = {"rate": 0.5, "start": [1.0, -2.0, 0.5], "learning_rate": 1e-9, "batch_size": 24}
    losses = fit(**still)[1].history["loss"]
    assert len(set(losses)) == EPOCHS
    assert not set(losses) & set(fit(**still, seed=4)[1].history["loss"])


def test_a_finished_stage_is_loaded(finished):
    folder, model, result = finished
    told = []
    again, loaded = fit(folder, progress=lambda *step: told.append(step))
    assert loaded.reused == EPOCHS and told == [("pretraining denoising", EPOCHS, EPOCHS)]
    assert_same_weights(weights_of(again), weights_of(model))
    assert loaded.history == result.history


def test_a_finished_stage_keeps_its_weights_and_no_optimizer(finished, half_done):
    def kept(folder):
        (index,) = stage_folder(folder).glob("*.index")
        variables = tf.train.list_variables(str(index.with_suffix("")))
        return {name.split("/")[0]: shape for name, shape in variables if not name.startswith(("_", "save_counter"))}

    assert kept(finished[0]) == {"weights": [3, 1]}
    assert set(kept(half_done)) == {"weights", "optimizer"}
    names = {path.name.partition(".")[2] for path in stage_folder(finished[0]).iterdir()}
    assert names == {"json", "index", "data-00000-of-00001"}


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.05},
        {"epochs": 5},
        {"noise": 0.1},
        {"seed": 4},
        {"data": {**line_data(), "y": line_data()["y"] + np.float32(0.001)}},
        {"start": [0.1, 0.0, 0.0]},
    ],
    ids=["learning_rate", "epochs", "noise", "seed", "data", "weights"],
)
def test_what_has_changed_is_not_found(finished, half_done, change):
    assert fit(finished[0], only_load=True)[1].reused == EPOCHS
    assert fit(half_done, only_load=True)[1].reused == 2
    assert fit(finished[0], only_load=True, **change)[1].reused == 0
    assert fit(half_done, only_load=True, **change)[1].reused == 0


def test_what_has_changed_is_fitted_beside_the_earlier_one(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    assert fit(tmp_path, epochs=1)[1].reused == 0
    assert [fit(tmp_path, only_load=True, epochs=epochs)[1].reused for epochs in (1, EPOCHS)] == [1, EPOCHS]


@pytest.mark.parametrize("is_finished", [False, True])
@pytest.mark.parametrize("damage", ["state", "key", "index", "weights", "gone"])
def test_damage_is_reported_with_the_folder_and_the_remedy(finished, half_done, tmp_path, damage, is_finished):
    shutil.copytree(finished[0] if is_finished else half_done, tmp_path, dirs_exist_ok=True)
    folder = stage_folder(tmp_path)
    (data,), (index,), state = folder.glob("*.data-*"), folder.glob("*.index"), folder / "state.json"
    if damage == "state":
        state.write_bytes(state.read_bytes()[:40])
    elif damage == "key":
        state.write_text(json.dumps({key: 1 for key in ("stage", "epochs_done")}))
    elif damage == "index":
        index.write_bytes(b"\0" * 60)
    elif damage == "weights":
        data.write_bytes(data.read_bytes()[:2])
    else:
        data.unlink()
    with pytest.raises(RunError, match="denoising .*Delete that folder") as error:
        fit(tmp_path)
    assert str(folder) in str(error.value)


def test_weights_of_another_size_are_damage_too(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    folder = stage_folder(tmp_path)
    tf.train.Checkpoint(weights=[tf.Variable(tf.zeros([5, 1]))]).write(str(folder / f"epoch-{EPOCHS}-finished"))
    with pytest.raises(RunError, match="Delete that folder"):
        fit(tmp_path)


def test_a_loss_that_is_no_number_ends_the_stage_with_advice(tmp_path):
    data = line_data()
    data["y"][3] = np.nan
    with pytest.raises(RunError, match="stage denoising is nan after epoch 1. Lower the stage's learning_rate"):
        fit(tmp_path, data=data)
    assert list(tmp_path.glob("*/state.json")) == []


def test_while_another_process_is_at_the_same_stage_nothing_is_saved(finished, half_done, tmp_path):
    shutil.copytree(half_done, tmp_path, dirs_exist_ok=True)
    folder = stage_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with marked(folder):
        model, result = fit(tmp_path)
    assert result.reused == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert_same_weights(weights_of(model), weights_of(finished[1]))


def test_only_load_leaves_a_model_as_it_is_until_the_stage_is_finished(finished, half_done):
    model, result = fit(half_done, only_load=True)
    np.testing.assert_array_equal(model.line.kernel, np.zeros([3, 1]))
    assert (result.reused, result.epochs) == (2, EPOCHS)
    assert fit(finished[0], only_load=True)[0].line.kernel.numpy().any()


def test_xla_gives_the_same_weights(finished):
    model, result = fit(xla=True)
    np.testing.assert_allclose(model.line.kernel, finished[1].line.kernel, atol=1e-5)
    np.testing.assert_allclose(result.history["loss"], finished[2].history["loss"], rtol=1e-4)


@pytest.mark.slow
def test_half_precision_is_resumed_too(tmp_path):
    # The loss scale is part of the optimizer's state.
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model, _ = fit()
        with pytest.raises(Killed):
            fit(tmp_path, progress=killed_after(2))
        assert_same_weights(weights_of(fit(tmp_path)[0]), weights_of(model))
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
