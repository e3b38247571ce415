"""The two towers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.history.mean import MeanHistory
from mmrec_tf.models.towers import CandidateTower, QueryTower
from tests import tiny_world
from tests.layer_checks import check_layer


def query_tower(length=4, **options) -> QueryTower:
    options = {"dim": 6, "hidden": [10], **options}
    history = MeanHistory(options["dim"], length)
    return QueryTower(FeatureLookup.from_table(tiny_world.user_table()), history, **options)


def query_features(length=4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    history = random.integers(1, 30, [21, length]).astype(np.int32)
    history[:5] = 0
    history[5:9, : length // 2] = 0
    return {
        "user_index": np.arange(21, dtype=np.int32),
        "history": history,
        "history_items": random.normal(size=[21, length, 6]).astype(np.float32),
    }


def test_candidate_tower_passes_the_layer_checks(tmp_path):
    features = {"item": np.random.default_rng(0).normal(size=[5, 6]).astype(np.float32)}
    check_layer(
        lambda: CandidateTower(dim=6, hidden=[10, 7], dropout=0.2),
        features,
        tmp_path,
        expected_shape=(5, 6),
        has_float32_output=True,
    )


def test_query_tower_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: query_tower(dropout=0.2, id_dropout=0.3),
        query_features(),
        tmp_path,
        expected_shape=(21, 6),
        has_float32_output=True,
    )


def test_embeddings_have_unit_length():
    queries = query_tower()(query_features()).numpy()
    candidates = CandidateTower(dim=6, hidden=[])({"item": np.random.default_rng(1).normal(size=[9, 6])}).numpy()
    for embeddings in (queries[1:], candidates):
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


def test_candidate_by_hand():
    tower = CandidateTower(dim=2, hidden=[])
    item = np.array([[1.0, 2.0]], np.float32)
    tower({"item": item})
    tower.project.set_weights([np.array([[1.0, 0.0], [0.5, -1.0]]), np.array([0.0, 4.0])])
    # W item + b = (1 + 1, -2 + 4) = (2, 2); with the item added (3, 4), of length 5.
    np.testing.assert_allclose(tower({"item": item}).numpy(), [[0.6, 0.8]], rtol=1e-6)


def test_somebody_of_whom_nothing_is_known_is_equally_near_to_all():
    tower, features = query_tower(), query_features()
    # Row 0 is the index of nobody. Rows 1 to 4 have no history but an id, and rows 18 on a history and a new id.
    places = tower(features).numpy()
    np.testing.assert_array_equal(places[0], 0.0)
    np.testing.assert_allclose(np.linalg.norm(places[1:], axis=1), 1.0, atol=1e-5)
    features["known"] = np.arange(21) % 2 == 0
    places = tower(features).numpy()
    np.testing.assert_array_equal(places[1::2], 0.0)


def test_every_position_asks_with_what_the_history_holds_up_to_there():
    tower, features = query_tower(), query_features()
    random = np.random.default_rng(5)
    features |= {name: random.integers(1, 32, [21, 4]).astype(np.int32) for name in ("gaps", "since")}
    every = tower(features).numpy().reshape(21, 4, 6)
    for place in range(4):
        # The history up to a place, moved to the end of the window.
        one = {"user_index": features["user_index"], "since": features["since"][:, place]}
        for name in ("history", "gaps", "history_items"):
            array = features[name][:, : place + 1]
            one[name] = np.pad(array, [(0, 0), (3 - place, 0), *[(0, 0)] * (array.ndim - 2)])
        np.testing.assert_allclose(tower(one).numpy(), every[:, place], atol=1e-5)


def test_what_stands_at_padding_has_no_influence():
    tower, features = query_tower(), query_features()
    before = tower(features).numpy()
    features["history_items"] = np.where(features["history"][:, :, None] > 0, features["history_items"], 1e3)
    np.testing.assert_allclose(tower(features).numpy(), before, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1])
def test_short_histories(length):
    features = query_features(length)
    queries = query_tower(length)(features).numpy()
    np.testing.assert_allclose(np.linalg.norm(queries[1:], axis=1), 1.0, atol=1e-5)


def test_unknown_users_with_the_same_history_are_placed_alike():
    tower, features = query_tower(), query_features()
    tower(features)
    # Rows 18 and 19 (indices 19 and 20) are new; with the same history only their profiles tell them apart.
    for name in ("history", "history_items"):
        features[name][20] = features[name][19]
    found = tower(features).numpy()
    assert np.abs(found[19] - found[20]).max() > 1e-6
    for table in (tower.lookup.tables["categorical"]["country"], tower.lookup.tables["numbers"]["age"]):
        rows = table.numpy()
        rows[20] = rows[19]
        table.assign(rows)
    found = tower(features).numpy()
    np.testing.assert_allclose(found[19], found[20], atol=1e-6)


def test_an_empty_history_has_finite_gradients_in_half_precision():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        tower = query_tower()
        features = query_features()
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tower(features, training=True)[:, 0])
        gradients = tape.gradient(loss, tower.trainable_weights)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    for weight, gradient in zip(tower.trainable_weights, gradients):
        assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all(), weight.name
