import numpy as np
from scipy.sparse import csr_matrix

from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recommender_model import Asked, TrainingData


def test_scores_are_counts_for_every_profile():
    # Item 0: 1 + 1 = 2, item 1: 3, item 2: nothing.
    interactions = csr_matrix(np.array([[1, 3, 0], [1, 0, 0]], dtype="float32"))
    profiles = csr_matrix(np.array([[0, 0, 1], [0, 0, 0]], dtype="float32"))
    scores = Popularity().fit(TrainingData(interactions)).score(Asked(profiles))
    np.testing.assert_array_equal(scores, [[2, 3, 0], [2, 3, 0]])
    assert scores.dtype == np.float32
