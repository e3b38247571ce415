import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.content_profile import ContentProfile
from mmrec_tf.models.recommender_model import Asked, TrainingData
from tests import tiny_world


def _table(**modalities):
    """A table whose vectors are taken as they are: `name=(vectors, masks)` by item."""
    items = len(next(iter(modalities.values()))[1])
    table = FeatureTable([f"i{row}" for row in range(items)], np.arange(items + 1), items + 1)
    for name, (vectors, mask) in modalities.items():
        table.vectors[name] = np.vstack([np.zeros(2), vectors]).astype("float32")
        table.masks[name] = np.array([False, *mask])
    return table


def _fit(table, **settings):
    return ContentProfile(**settings).fit(TrainingData(csr_matrix((2, len(table.ids))), items=table))


TEXT = ([[3, 0], [0, 2], [1, 1], [0, 0]], [True, True, True, False])
IMAGE = ([[0, 1], [0, 0], [0, 5], [2, 0]], [True, False, True, True])


def test_cosines_by_hand():
    # A profile of items 0 and 1: the mean text is (1, 1) / 2, cosines 1/sqrt(2), 1/sqrt(2), 1; the mean picture is
    # that of item 0, (0, 1), cosines 1, -, 1, 0. Item 1 has no picture and item 3 no text.
    profile = Asked(csr_matrix(np.array([[1, 4, 0, 0]], dtype="float32")))
    half = 1 / np.sqrt(2)
    scores = _fit(_table(text=TEXT, image=IMAGE)).score(profile)
    np.testing.assert_allclose(scores, [[(half + 1) / 2, half, 1, 0]], atol=1e-6)
    weighed = _fit(_table(text=TEXT, image=IMAGE), weights={"text": 3.0, "image": 1.0}).score(profile)
    np.testing.assert_allclose(weighed, [[(3 * half + 1) / 4, half, 1, 0]], atol=1e-6)
    # With the text alone, item 3 shares nothing with the profile.
    text = _fit(_table(text=TEXT, image=IMAGE), weights={"text": 1.0, "image": 0.0}).score(profile)
    np.testing.assert_allclose(text, [[half, half, 1, -1]], atol=1e-6)


def test_one_modality_is_scikit_learns_cosine():
    table = tiny_world.item_table()
    random = np.random.default_rng(3)
    profiles = (random.random((8, tiny_world.ITEMS)) < 0.2).astype("float32")
    vectors, mask = table.vectors["text"][1:], table.masks["text"][1:]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    expected = cosine_similarity(profiles[:, mask] @ unit[mask], vectors[mask])
    scores = _fit(table, weights={"text": 1.0}).score(Asked(csr_matrix(profiles)))
    np.testing.assert_allclose(scores[:, mask], expected, atol=1e-5)
    np.testing.assert_array_equal(scores[:, ~mask], -1.0)


def test_profiles_without_content_get_the_popular_items():
    table = _table(text=TEXT)
    training = TrainingData(csr_matrix(np.array([[1, 0, 2, 5]], dtype="float32")), items=table)
    # Nothing, item 3 which has no text, and an item seen and not liked.
    profiles = csr_matrix(([1.0, 0.0], ([1, 2], [3, 0])), shape=(3, 4))
    scores = ContentProfile().fit(training).score(Asked(profiles))
    np.testing.assert_array_equal(scores, [[1, 0, 2, 5]] * 3)


def test_mistakes_are_named():
    with pytest.raises(DataError, match="content needs items with media"):
        ContentProfile().fit(TrainingData(csr_matrix((1, 4))))
    for weights in ({"audio": 1.0}, {"text": -1.0}, {"text": 0.0}, {}):
        with pytest.raises(ConfigError, match="some of the modalities image, text"):
            _fit(_table(text=TEXT, image=IMAGE), weights=weights)
