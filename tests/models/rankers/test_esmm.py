"""ESMM: its networks against NumPy, and conversions where hardly anything is clicked, against a known truth."""

import numpy as np
import tensorflow as tf
import tf_keras
from scipy.special import expit

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers import ranker_class
from tests import tiny_world
from tests.models.rankers.worlds import linear_part, of_deep, pairs, randomized, side_by_side

USERS, ITEMS, SHOWN = 20, 150, 6000


def test_scores_are_linear_part_and_a_network_for_each_target():
    model = randomized(tiny_world.ranker(model="esmm", hidden=[6], targets={"bought": {}}))
    assert model.targets["bought"]["after"] == "click"
    inputs = pairs()
    parts = model._pairs(inputs, False, (), False, None)
    start = side_by_side(parts).reshape(18, -1)
    items = 6 * model.dim
    deep = {name: of_deep(layer, start[:, :items], start[:, items:]) for name, layer in model.networks.items()}
    linear = start @ np.concatenate([model.linear_of_item.kernel, model.linear_of_user.kernel])
    found = {name: value.numpy().ravel() for name, value in model.target_scores(inputs).items()}
    np.testing.assert_allclose(found["click"], linear_part(model, parts) + deep["click"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["bought"], linear[:, 0] + deep["bought"], rtol=1e-3, atol=1e-3)


def ranker(**settings):
    lookups = []
    for size in (USERS + 1, ITEMS + 1):
        lookup = FeatureLookup(shapes={}, size=size, id_vocabulary_size=size, vocabulary_sizes={})
        lookup.id_index.assign(range(size))
        lookups.append(lookup)
    return ranker_class("esmm")(*lookups, dim=4, hidden=[8], **settings)


def fitted(model, examples, epochs, batch, after_epoch=None):
    """The model after some epochs of plain Adam."""
    model.create_weights(0)
    optimizer = tf_keras.optimizers.Adam(0.01)

    @tf.function
    def step(examples):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(examples, training=True)
        optimizer.minimize(loss, model.trainable_variables, tape=tape)

    random, count = np.random.default_rng(0), len(examples["label"])
    for _ in range(epochs):
        order = random.permutation(count)
        for start in range(0, count - batch + 1, batch):
            step(tf.nest.map_structure(lambda values: tf.constant(values[order[start : start + batch]]), examples))
        if after_epoch is not None:
            after_epoch()
    return model


def test_purchases_are_known_where_hardly_anything_is_clicked():
    # What is liked is clicked more and bought more. Of the 6,000 shown a sixth is clicked, of some items nothing.
    tf_keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    liked = 0.5 * random.normal(size=[USERS, 1]) + random.normal(size=[1, ITEMS])
    click_chance, buy_chance = expit(-2 + 1.2 * liked), expit(-1.5 + 1.5 * liked)
    users, items = random.integers(0, USERS, SHOWN), random.integers(0, ITEMS, SHOWN)
    clicked = random.random(SHOWN) < click_chance[users, items]
    bought = clicked & (random.random(SHOWN) < buy_chance[users, items])
    shown = {
        "user_index": (users + 1).astype(np.int32),
        "item_index": (items + 1).astype(np.int32),
        "history": np.zeros([SHOWN, 0], np.int32),
        "label": clicked.astype(np.float32),
        "weight": np.ones(SHOWN, np.float32),
    }
    every = {
        "user_index": tf.repeat(tf.range(1, USERS + 1), ITEMS),
        "item_index": tf.tile(tf.range(1, ITEMS + 1), [USERS]),
        "history": tf.zeros([USERS * ITEMS, 0], tf.int32),
    }

    def distance(model, target):
        """How far the chances of all pairs, clicked or not, are from the truth: the mean of the KL divergence."""
        found = expit(model.target_scores(every)[target].numpy().astype(np.float64)).reshape(USERS, ITEMS)
        found = np.clip(found, 1e-9, 1 - 1e-9)
        return np.mean(
            buy_chance * np.log(buy_chance / found) + (1 - buy_chance) * np.log((1 - buy_chance) / (1 - found))
        )

    purchase = {"purchase": {"label": bought.astype(np.float32), "weight": np.ones(SHOWN, np.float32)}}
    entire = ranker(targets={"purchase": {"after": "click"}}, weighting="fixed")
    fitted(entire, {**shown, "targets": purchase}, epochs=4, batch=256)
    # The same network on the clicks alone, taken where it happens to be best.
    rows = np.flatnonzero(clicked)
    clicks = tf.nest.map_structure(lambda values: values[rows], {**shown, "label": bought.astype(np.float32)})
    naive, best = ranker(), []
    fitted(naive, clicks, 12, 64, after_epoch=lambda: best.append(distance(naive, "click")))
    assert distance(entire, "purchase") < 0.6 * min(best)
