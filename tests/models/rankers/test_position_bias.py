"""Position bias: the layer by hand, and a log with a known bias from which the true order has to be found."""

import numpy as np
import tensorflow as tf
import tf_keras
from scipy.stats import spearmanr

from mmrec_tf.data.pipelines import ranking_dataset
from mmrec_tf.models.rankers.position_bias import PACE, PositionBias
from mmrec_tf.training.fit import fit
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import only_ids

PLACES, ITEMS, EPOCHS = 5, 10, 16


def test_layer(tmp_path):
    def build():
        layer = PositionBias(3)
        layer.raw.assign(np.float32([2.0, 1.0, -1.0]) / PACE)
        return layer

    layer = check_layer(build, np.int32([1, 3, 2]), tmp_path, expected_shape=(3,), has_float32_output=True)
    # Bucket 0 is a place that is not known.
    np.testing.assert_allclose(layer(tf.constant([0, 1, 2, 3])), [0.0, 2.0, 1.0, -1.0], rtol=1e-6)


def test_training_takes_the_mean_of_the_known_places_off():
    layer = PositionBias(3, dropout=0.0)
    layer.raw.assign(np.float32([2.0, 1.0, -3.0]) / PACE)
    # 2, 1 and -3 have a mean of 0; 2, 2 and -3 one of 1/3, whatever there is of no known place.
    np.testing.assert_allclose(layer(tf.constant([1, 2, 3]), training=True), [2.0, 1.0, -3.0], rtol=1e-5)
    found = layer(tf.constant([0, 1, 1, 3, 0]), training=True)
    np.testing.assert_allclose(found, [0.0, 5 / 3, 5 / 3, -10 / 3, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(layer(tf.constant([0, 0]), training=True), [0.0, 0.0])


def test_places_are_forgotten_while_training():
    layer = PositionBias(2, dropout=0.25)
    layer.raw.assign(np.float32([1.0, -1.0]) / PACE)
    found = layer(tf.constant([1, 2] * 10000), training=True).numpy()
    assert set(found.round(5)) == {-1.0, 0.0, 1.0}
    assert abs((found != 0).mean() - 0.75) < 0.02


def log_of(relevance, bias, count=20000, seed=0):
    """What an earlier system showed: mostly the items with low numbers first, whatever they are worth."""
    random = np.random.default_rng(seed)
    item = random.integers(0, ITEMS, count)
    wanted = item * PLACES / ITEMS + random.normal(scale=1.5, size=count)
    position = np.clip(wanted, 0, PLACES - 1).astype(np.int32)
    clicked = random.random(count) < 1 / (1 + np.exp(-(relevance[item] + bias[position])))
    return {
        "user_index": np.ones(count, np.int32),
        "item_index": (item + 1).astype(np.int32),
        "history": np.zeros((count, 0), np.int32),
        "label": clicked.astype(np.float32),
        "position": position + 1,
    }


def learned_order(examples, relevance, positions):
    tf_keras.utils.set_random_seed(1)
    model = only_ids("logistic_regression", items=ITEMS + 1, positions=positions)
    model.bias.assign(-2.0)
    batches = ranking_dataset(examples, np.arange(1, ITEMS + 1), batch_size=1000, seed=1)
    fit(model, batches, epochs=EPOCHS, learning_rate=0.1, patience=EPOCHS)
    asked = {"user_index": tf.ones([1], tf.int32), "history": tf.zeros([1, 0], tf.int32)}
    scores = model({**asked, "item_index": tf.range(1, ITEMS + 1)[None]}).numpy()[0]
    return model, spearmanr(scores, relevance).statistic


def test_with_the_tower_the_true_order_is_found_and_without_it_is_not():
    # What is worth most has the highest number and was shown last, where it is clicked e^-3 times as often.
    relevance, bias = np.linspace(-1.0, 0.5, ITEMS), np.array([0.0, -0.8, -1.6, -2.3, -3.0])
    examples = log_of(relevance, bias)
    model, with_tower = learned_order(examples, relevance, PLACES)
    _, without = learned_order(examples, relevance, 0)
    assert with_tower > 0.95
    assert without < -0.9
    # Three standard deviations of the rarest place's log odds in such a log, and some for what is forgotten.
    learned = model.position_bias.logits.numpy()
    np.testing.assert_allclose(learned - learned[0], bias, atol=0.35)
    # In serving the place counts for nothing, told or not.
    told = {name: tf.constant(array[:50]) for name, array in examples.items()}
    untold = {name: array for name, array in told.items() if name != "position"}
    np.testing.assert_array_equal(model(told), model(untold))
