"""The linear baseline."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression as Peer

from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.models.rankers.worlds import linear_part, one_pair, only_ids, pairs, randomized


def test_score_by_hand():
    assert only_ids("logistic_regression")(one_pair()).numpy() == pytest.approx([10 + 0.5 - 0.25])


def test_score_is_the_sum_of_the_weights():
    model, inputs = randomized(tiny_world.ranker(model="logistic_regression")), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    assert parts.item_vectors.shape == (18, 7, 0)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), linear_part(model, parts), rtol=1e-4, atol=1e-5)


def test_learns_what_logistic_regression_learns():
    # Two items, clicked 3 times of 4 and 1 time of 4 by one user: the log odds are log 3 and -log 3.
    model = only_ids("logistic_regression", items=3)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1], np.float32)
    items = np.repeat([1, 2], 4).astype(np.int32)
    batch = {
        "user_index": np.ones(8, np.int32),
        "history": np.zeros([8, 0], np.int32),
        "item_index": items,
        "label": labels,
        "weight": np.ones(8, np.float32),
    }
    dataset = tf.data.Dataset.from_tensors(batch).repeat(100)
    fit(model, dataset, epochs=10, learning_rate=0.1, patience=10)
    found = model({name: tf.constant(value) for name, value in batch.items()}).numpy()[[0, 4]]
    np.testing.assert_allclose(found, [np.log(3), -np.log(3)], atol=0.02)
    peer = Peer(C=1e6).fit(np.eye(2)[items - 1], labels)
    np.testing.assert_allclose(found, peer.decision_function(np.eye(2)), atol=0.02)
