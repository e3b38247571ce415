"""Target statistics as fields: looked up as they were worked out, and hidden where they are not to be known."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.data.target_statistics import TargetStatistics
from mmrec_tf.models.rankers.target_fields import TargetFields
from tests.layer_checks import check_layer

LISTS = {"genre": np.array([[0, 0], [1, 0], [1, 2], [0, 0]], np.int32)}
SPEC = {"users": 4, "items": 4, "features": 1, "crossed": {"genre": [3, 2]}}
ROWS = {"users": np.array([1, 1, 2]), "items": np.array([1, 2, 2]), "labels": np.array([1.0, 0.0, 1.0])}


def statistics() -> TargetStatistics:
    return TargetStatistics.fit(**ROWS, sizes=(4, 4), lists=LISTS)


def layer(told=None) -> TargetFields:
    """Each field is its number, and 100 more where it is there."""
    fields = TargetFields(1, SPEC)
    fields.set(statistics(), told)
    fields(tf.constant([1]), tf.constant([[1]]))
    for weights in fields.embeddings.values():
        weights.assign(np.stack([np.full(weights.shape[1:], 1.0), np.full(weights.shape[1:], 100.0)]))
    return fields


def test_passes_the_layer_checks(tmp_path):
    users, items = np.array([1, 2], np.int32), np.array([[1, 2, 0], [3, 1, 2]], np.int32)
    arguments = {"item_index": items}
    shapes = ((2, 3, 5), (6, 6, 5))

    def factory():
        fields = TargetFields(5, SPEC)
        fields.set(statistics())
        return fields

    check_layer(factory, users, tmp_path, call_arguments=arguments, expected_shape=shapes)


def test_the_graph_looks_up_what_was_worked_out():
    users, items = np.array([1, 2, 3], np.int32), np.array([[1, 2], [2, 1], [2, 3]], np.int32)
    of_user, of_item = layer()(tf.constant(users), tf.constant(items))
    told = statistics().of(np.repeat(users, 2), items.reshape(-1))
    columns = np.concatenate([told["item"], told["pair"]], axis=1)
    # There: the item's own three where it was met, its categories' mean, and the user's view where the user was met.
    there = np.stack([[1, 1, 1, 1, 1, 0]] * 3 + [[1] * 6] + [[1, 1, 1, 1, 0, 0]] * 2, axis=1)
    np.testing.assert_array_equal(of_item[..., 0], np.float32((columns + 100) * there))
    np.testing.assert_array_equal(of_user[:2, :, 0], np.float32(told["user"][[0, 2]] + 100))
    assert not of_user[2].numpy().any()


def test_what_is_told_takes_the_place_of_what_is_stored():
    told = {"user": [[0.5, 2.0, -0.25]], "item": [[0.25, 0.0, 0.0, 0.75]], "pair": [[0.5, 3.0]]}
    told = {name: tf.constant(values) for name, values in told.items()}
    of_user, of_item = layer()(tf.constant([1]), tf.constant([[1]]), told)
    assert of_user.numpy().ravel().tolist() == [100.5, 102.0, 99.75]
    # Of an item whose other rows were left out nothing is known but its categories.
    assert of_item.numpy().ravel().tolist() == [0.0, 0.0, 0.0, 100.75, 100.5, 103.0]


def test_hidden_users_and_items():
    call = layer()
    hidden = {"hides_user": tf.constant([True, False]), "hides_item": tf.constant([[False], [True]])}
    of_user, of_item = call(tf.constant([1, 1]), tf.constant([[1], [1]]), **hidden)
    assert (of_user.numpy()[..., 0] > 0).tolist() == [[False] * 3, [True] * 3]
    there = of_item.numpy()[..., 0] > 0
    assert there.tolist() == [[True] * 4 + [False] * 2, [False] * 3 + [True] * 3]


def test_columns_are_centred_and_scaled_by_what_training_was_told():
    told = {"user": np.array([[1.0, 4.0, 0.5], [3.0, 4.0, 0.5]])}
    of_user, _ = layer(told)(tf.constant([1]), tf.constant([[1]]))
    mean, count, effect = statistics().user[1]
    # Mean 2 and spread 1; a column that never varies keeps its scale.
    np.testing.assert_allclose(of_user.numpy().ravel(), [mean + 98, count + 96, effect + 99.5], rtol=1e-6)


def test_weights_are_saved_and_loaded(tmp_path):
    model = tf_keras.Sequential([layer_of_pairs := PairLayer()])
    model(tf.constant([[1, 1]]))
    layer_of_pairs.fields.set(statistics())
    model.save_weights(str(tmp_path / "m.weights.h5"))
    other = tf_keras.Sequential([PairLayer()])
    other(tf.constant([[1, 1]]))
    other.load_weights(str(tmp_path / "m.weights.h5"))
    for saved, loaded in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(saved, loaded)


class PairLayer(tf_keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.fields = TargetFields(3, SPEC)

    def call(self, pairs):
        return self.fields(pairs[:, 0], pairs[:, 1:])[1]


def test_without_categories_there_is_nothing_of_pairs():
    fields = TargetFields(3, {"users": 4, "items": 4, "features": 0, "crossed": {}})
    fields.set(TargetStatistics.fit(**ROWS, sizes=(4, 4), lists={}))
    of_user, of_item = fields(tf.constant([1, 2]), tf.constant([[1], [2]]))
    assert (of_user.shape, of_item.shape) == ((2, 3, 3), (2, 3, 3))
    assert [weights.shape for weights in fields.trainable_weights] == [(2, 3, 3), (2, 3, 3)]
