import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recommender_model import Asked, TrainingData
from mmrec_tf.models.segment_popularity import SegmentPopularity

# Users 0 and 1 live in country 1, user 2 in country 2, user 3 nowhere known.
INTERACTIONS = csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 3], [0, 1, 1]], dtype="float32"))
COUNTRY = np.array([1, 1, 2, 0])


def _asked(rows):
    return Asked(csr_matrix((len(rows), 3)), None if rows is None else np.array(rows))


def test_segments_lean_on_everybody_by_hand():
    model = SegmentPopularity(prior=4.0).fit(TrainingData(INTERACTIONS, user_segments={"country": COUNTRY}))
    # Everybody: 2, 2 and 4 of 8. Country 1 has 2, 1, 0: (2 + 1, 1 + 1, 0 + 2) / 7; country 2 has 0, 0, 3:
    # (1, 1, 3 + 2) / 7. Who is of no known country gets 2/8, 2/8, 4/8.
    first, second, nobody = np.array([3, 2, 2]) / 7, np.array([1, 1, 5]) / 7, np.array([2, 2, 4]) / 8
    np.testing.assert_allclose(model.score(_asked([1, 2, 3, -1, 0])), [first, second, nobody, nobody, first], rtol=1e-6)
    np.testing.assert_allclose(model.score(Asked(csr_matrix((1, 3)))), [nobody], rtol=1e-6)


def test_several_features_are_alike_together():
    age = np.array([1, 2, 1, 0])
    model = SegmentPopularity(prior=0.0).fit(TrainingData(INTERACTIONS, user_segments={"country": COUNTRY, "age": age}))
    # No two users agree in both, so each is a segment: without a prior, the own shares.
    np.testing.assert_allclose(model.score(_asked([0, 1, 2])), [[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1]])
    by_age = SegmentPopularity("age", prior=0.0).fit(
        TrainingData(INTERACTIONS, user_segments={"country": COUNTRY, "age": age})
    )
    np.testing.assert_allclose(by_age.score(_asked([0])), [[0.2, 0.2, 0.6]], rtol=1e-6)


def test_a_segment_without_interactions_gets_what_everybody_does():
    empty = csr_matrix(np.array([[1, 0, 1], [0, 0, 0]], dtype="float32"))
    for prior in (0.0, 5.0):
        model = SegmentPopularity(prior=prior).fit(TrainingData(empty, user_segments={"country": np.array([1, 2])}))
        np.testing.assert_allclose(model.score(_asked([1])), [[0.5, 0, 0.5]])


def test_mistakes_are_named():
    with pytest.raises(DataError, match="these data have none"):
        SegmentPopularity().fit(TrainingData(INTERACTIONS))
    with pytest.raises(DataError, match="named 'plan'; these data have country"):
        SegmentPopularity("plan").fit(TrainingData(INTERACTIONS, user_segments={"country": COUNTRY}))
    with pytest.raises(ConfigError, match="0 or more"):
        SegmentPopularity(prior=-1.0)
