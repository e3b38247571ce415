"""What of a pair is known while training hides ids."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.target_statistics import TargetStatistics
from tests.models.rankers.worlds import only_ids


def tells_what_is_known():
    """A ranker that adds 1 for a user's id, 10 for a user's statistics, 100 and 1,000 for an item's."""
    spec = {"users": 2, "items": 2, "features": 0, "crossed": {}}
    model = only_ids("logistic_regression", statistics=spec, id_dropout=0.6)
    rows = {"users": np.array([1, 1]), "items": np.array([1, 1]), "labels": np.array([0.0, 1.0])}
    model.set_statistics(TargetStatistics.fit(**rows, sizes=(2, 2), lists={}))
    model.bias.assign(0.0)
    for fields, known in ((model.user_fields, 1.0), (model.item_fields, 100.0)):
        fields.ids.embeddings.assign(np.outer([0.0, known], np.ones(fields.ids.embeddings.shape[1])))
    for name, there in (("user", 10.0), ("item", 1000.0)):
        weights = model.target_fields.embeddings[name]
        # Of the first of three columns only, and whatever its number is.
        weights.assign(np.broadcast_to(np.array([[0, 0, 0], [there, 0, 0]])[:, :, None], weights.shape))
    return model


def test_of_hidden_ids_every_other_one_keeps_its_statistics():
    model, count = tells_what_is_known(), 20_000
    ones = tf.ones([count], tf.int32)
    inputs = {"user_index": ones, "item_index": ones, "history": tf.zeros([count, 0], tf.int32)}
    assert np.unique(model(inputs).numpy()).tolist() == [1111.0]
    scores = model(inputs, training=True).numpy().astype(int)
    # Known 40 %, known by statistics alone and not known at all 30 % each; four standard errors are 1.4 %.
    for of_side in (scores % 100, scores // 100):
        kinds, counts = np.unique(of_side, return_counts=True)
        assert kinds.tolist() == [0, 10, 11]
        np.testing.assert_allclose(counts / count, [0.3, 0.3, 0.4], atol=0.014)


def test_an_item_scored_as_if_it_were_new_has_no_statistics():
    inputs = {name: tf.ones([1], tf.int32) for name in ("user_index", "item_index")}
    inputs["history"] = tf.zeros([1, 0], tf.int32)
    found = tells_what_is_known()(inputs, without_ids=tf.constant([[True]]))
    assert found.numpy().tolist() == [11.0]
