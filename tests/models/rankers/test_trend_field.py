"""How popular an item was of late, as a field of the rankers."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.trends import Trends
from mmrec_tf.models.rankers.trend_field import TrendField
from tests import tiny_world
from tests.layer_checks import check_layer

ITEMS, MOMENTS = np.array([[1, 2], [2, 0]], np.int32), np.array([0, 2], np.int32)
TABLE = np.arange(24, dtype=np.float32).reshape(4, 3, 2) / 24.0


def filled(**options) -> TrendField:
    layer = TrendField(size=4, periods=3, half_lives=2, **options)
    layer.set(TABLE)
    return layer


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: filled(dim=5), ITEMS, tmp_path, call_arguments={"moment": MOMENTS}, expected_shape=(4, 1, 5))


def test_by_hand():
    layer = filled(dim=1, hidden=2)
    layer(tf.constant(ITEMS), tf.constant(MOMENTS))
    layer.first.set_weights([np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([0.0, 0.5])])
    layer.second.set_weights([np.array([[2.0], [4.0]]), np.array([1.0])])
    found = layer(tf.constant(ITEMS), tf.constant(MOMENTS)).numpy()[:, 0, 0]
    expected = []
    for item, moment in ((1, 0), (2, 0), (2, 2), (0, 2)):
        a, b = TABLE[item, moment]
        expected.append(1.0 + 2.0 * max(a + b, 0.0) + 4.0 * max(b - a + 0.5, 0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    present = layer(tf.constant(ITEMS)).numpy()
    np.testing.assert_array_equal(present, layer(tf.constant(ITEMS), tf.constant([2, 2])).numpy())


def test_a_ranker_asks_for_the_present_where_no_moment_is_given():
    # Only the trends tell items apart: nobody has an id, and nothing else is learned yet.
    model = tiny_world.ranker(model="fm", trends=True)
    users, items, times = tiny_world.interactions()
    periods = model.trend_field.periods
    trends = Trends.build(items + 1, times * 86400.0, 31, (1.0, 7.0, 30.0, 180.0, 1000.0), periods)
    model.set_trends(trends)
    batch = {
        "user_index": tf.constant([1, 2]),
        "history": tf.zeros([2, tiny_world.HISTORY], tf.int32),
        "item_index": tf.constant([[3, 4], [5, 6]]),
    }
    silent = model(batch).numpy()
    last = model({**batch, "moment": tf.constant([periods - 1, periods - 1])}).numpy()
    np.testing.assert_array_equal(silent, last)
    early = model({**batch, "moment": tf.constant([1, periods - 1])}).numpy()
    assert (early[0] != last[0]).any() and (early[1] == last[1]).all()
