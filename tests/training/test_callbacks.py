"""Early stopping by a score, progress, and a loss that is no number."""

import numpy as np
import pytest
import tf_keras

from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.training.callbacks import BestByScore, Progress, StopOnBadLoss


@pytest.fixture
def model():
    """One weight that gradient descent moves by the same step every epoch: it says which epoch it is from."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    # The gradient of -prediction is -1, so the weight after epoch e (from 0) is e + 1.
    model.compile(optimizer=tf_keras.optimizers.SGD(1.0), loss=lambda labels, predictions: -predictions)
    model.build([1, 1])
    return model


def fit(model, callback, epochs=10):
    return model.fit(np.ones([1, 1]), np.ones([1, 1]), epochs=epochs, verbose=0, callbacks=[callback]).history


def weight(model) -> float:
    return float(model.get_weights()[0][0, 0])


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ([1, 3, 2, 2, 9], 2, 4, 1),  # two epochs after epoch 1 are no better: stop before the 9
        ([1, 3, 2, 4, 3, 3, 9], 2, 6, 3),  # the better score at epoch 3 counts anew
        ([5, 4, 9], 1, 2, 0),
        ([5, 4, 9], 0, 2, 0),  # no patience and a patience of one epoch are the same, as in Keras
        ([1, 2, 3, 4], 1, 4, 3),  # rises to the end
        ([2, 2, 2, 9], 2, 3, 0),  # the same is not better
        ([np.nan, 1, np.nan, np.nan, 9], 2, 4, 1),
    ],
)
def test_stops_and_keeps_the_best_weights(model, scores, patience, epochs, best):
    callback = BestByScore(iter(scores).__next__, "score", patience)
    history = fit(model, callback, epochs=len(scores))
    np.testing.assert_array_equal(history["score"], scores[:epochs])
    assert callback.best_epoch == best
    assert weight(model) == best + 1


def test_a_second_fit_starts_anew(model):
    callback = BestByScore(iter([9, 1, 1, 2]).__next__, "score", patience=5)
    fit(model, callback, epochs=2)
    assert weight(model) == 1
    fit(model, callback, epochs=2)
    # From 1 two more steps, the second of which was the better, though not as good as the first fit's best.
    assert weight(model) == 3


def test_what_cannot_be_scored_ends_training_with_the_best_weights(model):
    def score(values=iter([1, 2])):
        value = next(values, None)
        if value is None:
            raise MmrecError("an embedding is not finite.")
        return value

    with pytest.warns(UserWarning, match="is not finite. Training ends with the weights of epoch 2"):
        history = fit(model, BestByScore(score, "score", patience=5))
    assert weight(model) == 2 and len(history["loss"]) == 3
    # Where no epoch came before there is nothing to go back to.
    with pytest.raises(MmrecError, match="not finite"):
        fit(model, BestByScore(score, "score", patience=5))


def test_score_sees_the_weights_of_its_epoch(model):
    seen = []

    def score():
        seen.append(weight(model))
        return 0.0

    fit(model, BestByScore(score, "score", patience=9), epochs=3)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_no_number_ends_training_with_advice(loss):
    with pytest.raises(RunError, match=f"training loss is {loss} after epoch 3. Lower learning_rate"):
        StopOnBadLoss().on_epoch_end(2, {"loss": loss})
    with pytest.raises(RunError, match=f"training loss is {loss} after epoch 1. Raise the temperature.$"):
        StopOnBadLoss(advice="Raise the temperature.").on_epoch_end(0, {"loss": loss})
    StopOnBadLoss().on_epoch_end(2, {"loss": 1e30})


def test_a_bad_loss_ends_training_with_the_best_weights_so_far(model):
    class Explode(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                logs["loss"] = np.nan

    best = BestByScore(iter([1, 2, 1, 9]).__next__, "score", patience=9)
    callbacks = [Explode(), best, StopOnBadLoss(best)]
    with pytest.warns(UserWarning, match="loss is nan after epoch 4. .* ends with the weights of epoch 2"):
        history = model.fit(np.ones([1, 1]), np.ones([1, 1]), epochs=9, verbose=0, callbacks=callbacks).history
    assert history["score"] == [1, 2, 1]
    assert weight(model) == 2


def test_averaged_weights_are_what_is_scored_and_kept(model):
    model.compile(
        optimizer=tf_keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5),
        loss=lambda labels, predictions: -predictions,
    )
    seen = []

    def score():
        seen.append(weight(model))
        return seen[-1]

    fit(model, BestByScore(score, "score", patience=9), epochs=3)
    # The weight goes 1, 2, 3 from 0, and its average half way to it each time: 0.5, 1.25, 2.125.
    np.testing.assert_allclose(seen, [0.5, 1.25, 2.125])
    assert weight(model) == 2.125


def test_progress_tells_every_epoch_and_that_an_early_end_is_the_end(model):
    calls = []
    progress = Progress(lambda *told: calls.append(told), "training", epochs=10)
    model.fit(
        np.ones([1, 1]),
        np.ones([1, 1]),
        epochs=10,
        verbose=0,
        callbacks=[progress, BestByScore(iter([2, 1]).__next__, "score", patience=1)],
    )
    assert calls == [("training", 1, 10), ("training", 2, 10), ("training", 10, 10)]
