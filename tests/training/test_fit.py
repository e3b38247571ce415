"""One way to fit: schedule, clipping, history, and that a seed makes a run repeatable."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.data.pipelines import gathered_batches
from mmrec_tf.errors import DataError, RunError
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.training.fit import fit
from tests import tiny_world


class Slope(LossScaledModel):
    """One weight w with the loss `slope * w`, whose gradient is `slope`."""

    def __init__(self, slope=1.0):
        super().__init__()
        self.w = self.add_weight(name="w", shape=[], initializer="zeros")
        self.slope = slope

    def call(self, inputs):
        return self.w * inputs

    def compute_loss(self, inputs, training=False):
        return self.slope * self.w * tf.reduce_mean(inputs)


def steps(count) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(tf.ones([count, 1]))


def test_schedule_warms_up_and_decays_to_zero():
    model = Slope()
    fit(model, steps(8), epochs=5, learning_rate=0.4, patience=1)
    rate = model.optimizer._learning_rate
    # 40 steps, a twentieth of them (2) warm-up, then half a cosine over 38: in its middle, 2 + 19, half the peak.
    found = [float(rate(step)) for step in (0, 1, 2, 21, 40)]
    np.testing.assert_allclose(found, [0.0, 0.2, 0.4, 0.2, 0.0], atol=1e-6)
    assert int(model.optimizer.iterations) == 40


def test_gradients_are_clipped_by_their_norm():
    # Adam divides by the gradient's size, so clipping shows in its first moment: after one step 0.1 * clipped.
    model = Slope(slope=1e4)
    fit(model, steps(1), epochs=1, learning_rate=0.1, patience=1)
    moment = next(v for v in model.optimizer.variables if "/m/" in v.name or "momentum" in v.name or "Adam/m" in v.name)
    assert float(moment) == pytest.approx(0.1, rel=1e-4)


def test_history_has_one_number_per_epoch_and_no_regularisation():
    told = []
    history = fit(
        Slope(),
        steps(4),
        epochs=3,
        learning_rate=0.1,
        patience=3,
        score=iter([0.5, 0.75, 0.25]).__next__,
        score_name="validation NDCG@10",
        progress=lambda *call: told.append(call),
        description="training retrieval",
    )
    assert sorted(history) == ["loss", "validation NDCG@10"]
    assert history["validation NDCG@10"] == [0.5, 0.75, 0.25]
    assert len(history["loss"]) == 3 and all(type(loss) is float for loss in history["loss"])
    assert told[-1] == ("training retrieval", 3, 3)


def test_without_a_score_all_epochs_are_run_and_with_one_training_stops_early():
    assert len(fit(Slope(), steps(2), epochs=5, learning_rate=0.1, patience=1)["loss"]) == 5
    scores = iter([3.0, 2.0, 1.0, 0.0, 0.0])
    history = fit(Slope(), steps(2), epochs=5, learning_rate=0.1, patience=2, score=scores.__next__)
    assert history["score"] == [3.0, 2.0, 1.0]


def test_exploding_loss_is_an_error_with_advice():
    exploding = Slope(slope=float("nan"))
    for advice, expected in (({}, "Lower learning_rate,"), ({"advice": "Lower train.rate."}, "Lower train.rate.$")):
        with pytest.raises(RunError, match=f"after epoch 1. {expected}"):
            fit(exploding, steps(2), epochs=3, learning_rate=0.1, patience=1, **advice)


def test_an_epochs_loss_is_the_mean_of_its_steps_however_many_run_in_a_call():
    # Gradient 1 and Adam's first steps of the rate each: w is 0 before the first step, and falls after it.
    one, four = (
        fit(Slope(), steps(4), epochs=2, learning_rate=0.1, patience=1, steps_per_call=calls)["loss"]
        for calls in (1, 4)
    )
    np.testing.assert_allclose(one, four, rtol=1e-6)
    assert one[0] > one[1]


@pytest.mark.parametrize("steps_per_call", [1, 3, 8])
def test_every_epoch_is_the_dataset_once_whatever_its_order_and_the_steps_of_a_call(steps_per_call):
    class Seen(Slope):
        def __init__(self):
            super().__init__()
            self.seen = self.add_weight(name="seen", shape=[20], initializer="zeros", trainable=False)

        def compute_loss(self, inputs, training=False):
            self.seen.assign_add(tf.reduce_sum(tf.one_hot(inputs["row"], 20), axis=0))
            return self.w

    model, counts = Seen(), []
    fit(
        model,
        gathered_batches({"row": np.arange(20)}, 4, seed=3),
        epochs=3,
        learning_rate=0.1,
        patience=3,
        score=lambda: counts.append(model.seen.numpy().tolist()) or 0.0,
        steps_per_call=steps_per_call,
    )
    assert counts == [[epoch] * 20 for epoch in (1.0, 2.0, 3.0)]
    assert int(model.optimizer.iterations) == 15


def test_a_dataset_of_unknown_length_is_trained_on_as_one_of_known_length():
    known, unknown = Slope(), Slope()
    for model, dataset in ((known, steps(10)), (unknown, steps(10).filter(lambda values: True))):
        fit(model, dataset, epochs=2, learning_rate=0.1, patience=1)
        assert int(model.optimizer.iterations) == 20
    # A schedule for one step an epoch would have ended after two.
    assert float(known.w) < -0.5
    assert float(unknown.w) == float(known.w)


def test_datasets_that_are_no_epoch_are_refused():
    with pytest.raises(DataError, match="the dataset has no end.*Take the repeat\\(\\) out of it"):
        fit(Slope(), steps(2).repeat(), epochs=1, learning_rate=0.1, patience=1)
    for nothing in (steps(2).take(0), steps(2).filter(lambda values: False)):
        with pytest.raises(DataError, match="the dataset has no batch"):
            fit(Slope(), nothing, epochs=1, learning_rate=0.1, patience=1)


def test_averages_reach_back_over_two_epochs_at_most():
    for asked, count, expected in ((0.99, 4, 0.875), (0.5, 4, 0.5), (0.99, 200, 0.99)):
        model = Slope()
        fit(model, steps(count), epochs=1, learning_rate=0.1, patience=1, average=asked)
        assert model.optimizer.ema_momentum == expected


SEEDED_RUN = """
import sys
import mmrec_tf
from mmrec_tf.training.fit import fit, set_seed
set_seed(3)

import numpy as np
from mmrec_tf.data.pipelines import ranking_dataset, retrieval_dataset
from tests import tiny_world

two_tower, deepfm = tiny_world.two_tower(), tiny_world.ranker()
fit(two_tower, retrieval_dataset(tiny_world.sequences(), 32, seed=5), epochs=3, learning_rate=0.01, patience=3)
pairs = ranking_dataset(tiny_world.ranking_examples(), np.arange(1, 28), 160, negatives=4, seed=5)
fit(deepfm, pairs, epochs=2, learning_rate=0.01, patience=2)
np.savez(sys.argv[1], *two_tower.get_weights(), *deepfm.get_weights())
"""


@pytest.mark.slow
def test_a_seed_makes_fits_in_fresh_processes_identical(tmp_path):
    # Hash randomisation differs between the processes, and may not matter.
    runs = {
        name: subprocess.Popen(
            [sys.executable, "-c", SEEDED_RUN, str(tmp_path / f"{name}.npz")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, hash_seed in (("one", "11"), ("same", "22"))
    }
    for name, process in runs.items():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, f"{name}: {errors[-2000:]}"
    weights = {name: list(np.load(tmp_path / f"{name}.npz").values()) for name in runs}
    for one, same in zip(weights["one"], weights["same"], strict=True):
        np.testing.assert_array_equal(one, same)


def test_constant_vectors_leave_training_finite(tmp_path):
    data = tiny_world.rec_data()
    for name in ("text", "image"):
        data.items[name] = pd.Series([np.full(4, 0.3, np.float32)] * tiny_world.ITEMS)
    known = prepare(data, tiny_world.config(store=tmp_path / "store"))
    assert all((vectors == 0.0).all() for vectors in known.items.vectors.values())
    for model, dataset in (
        (build_two_tower(known.config, known.users, known.items), known.retrieval_dataset(16)),
        (build_ranker(known.config, known.users, known.items), known.ranking_dataset(16)),
    ):
        history = fit(model, dataset, epochs=3, learning_rate=0.01, patience=3)
        assert len(history["loss"]) == 3 and np.isfinite(history["loss"]).all()
        assert all(np.isfinite(weight.numpy()).all() for weight in model.trainable_weights)
