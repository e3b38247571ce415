"""Categories and numbers to embeddings."""

import numpy as np

from mmrec_tf.models.side_features import SideFeatures
from tests.layer_checks import check_layer

FEATURES = {
    "categorical": {"color": np.array([1, 0, 2], np.int32)},
    "multi_categorical": {"tags": np.array([[1, 2, 0], [0, 0, 0], [0, 2, 0]], np.int32)},
    "numbers": {"price": np.array([[0.5, 1.0], [0.0, 0.0], [-2.0, 1.0]], np.float32)},
}
SIZES = {"color": 3, "tags": 3}


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: SideFeatures(dim=4, vocabulary_sizes=SIZES), FEATURES, tmp_path, expected_shape=(3, 3, 4))


def test_fields_by_hand():
    side = SideFeatures(dim=2, vocabulary_sizes=SIZES)
    side(FEATURES)
    side.embeddings["color"].assign([[9, 9], [1, 2], [3, 4]])
    side.embeddings["tags"].assign([[100, 100], [10, 20], [30, 40]])
    side.numbers["price"].kernel.assign([[1, -1], [5, 6]])
    color = [[1, 2], [9, 9], [3, 4]]  # 0 is the unknown's own embedding
    tags = [[20, 30], [0, 0], [30, 40]]  # mean of those present, padding is nothing
    # value * (1, -1) + presence * (5, 6): (0.5 + 5, -0.5 + 6), missing, (-2 + 5, 2 + 6)
    price = [[5.5, 5.5], [0, 0], [3, 8]]
    np.testing.assert_allclose(side(FEATURES).numpy(), np.stack([color, tags, price], axis=1))


def test_fields_stand_in_alphabetical_order_within_their_kind():
    side = SideFeatures(dim=1, vocabulary_sizes={"b": 2, "a": 2})
    features = {
        "categorical": {"b": np.array([1]), "a": np.array([1])},
        "multi_categorical": {},
        "numbers": {"d": np.array([[1.0, 1.0]]), "c": np.array([[1.0, 1.0]])},
    }
    side(features)
    for name, value in (("a", 1.0), ("b", 2.0)):
        side.embeddings[name].assign([[0.0], [value]])
    for name, value in (("c", 3.0), ("d", 4.0)):
        side.numbers[name].kernel.assign([[value], [0.0]])
    assert side(features).numpy().ravel().tolist() == [1, 2, 3, 4]
