import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.evaluation.ranking_metrics import user_metrics
from mmrec_tf.models import hybrid_blend, rows_at_once
from mmrec_tf.models.hybrid_blend import HybridBlend
from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import Asked, HeldOut, RecommenderModel, TrainingData
from tests.tiny_world import item_table


class _Fixed(RecommenderModel):
    """Scores that are given, by user row."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float32)

    def fit(self, training, progress=None):
        return self

    def score(self, asked):
        return self.scores[asked.user_rows]


def _held_out(profiles, relevant, k=2):
    relevant = csr_matrix(relevant)
    asked = Asked(csr_matrix(profiles), np.arange(relevant.shape[0]))
    return HeldOut(asked, lambda lists: float(user_metrics(lists, relevant, [k])[f"ndcg@{k}"].mean()), k)


def _random_world(users=40, items=30, seed=3):
    """Two components that each see half of the truth, in other units, and one that sees nothing."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, users, items))
    relevant = np.zeros((users, items))
    np.put_along_axis(relevant, np.argsort(-(first + second), axis=1)[:, :2], 1.0, axis=1)
    profiles = (random.random((users, items)) < 0.1) * (1.0 - relevant)
    components = {
        "first": _Fixed(100.0 * first + 7.0),
        "second": _Fixed(0.001 * second),
        "noise": _Fixed(random.normal(size=(users, items))),
    }
    return components, TrainingData(csr_matrix((users, items)), held_out=_held_out(profiles, relevant))


def test_scores_are_standardised_over_the_unseen_by_hand():
    # Unseen are items 0, 1, 3 with 1, 3, 5: mean 3, deviation sqrt(8 / 3). The seen one is moved alike.
    asked = Asked(csr_matrix(([0.0], ([0], [2])), shape=(1, 4)))
    standardised = hybrid_blend._standardised(np.array([[1.0, 3.0, 9.0, 5.0]]), asked)
    np.testing.assert_allclose(standardised, [np.array([-2, 0, 6, 2]) / np.sqrt(8 / 3)], rtol=1e-6)
    flat = hybrid_blend._standardised(np.array([[5.0, 5.0, 9.0, 5.0]]), asked)
    np.testing.assert_array_equal(flat, np.zeros((1, 4)))


def test_the_blend_beats_its_parts_and_noise_gets_nothing():
    components, training = _random_world()
    model = HybridBlend(components).fit(training)
    assert model.score_found > max(model.single_scores.values()) + 0.2
    assert sum(model.weights.values()) == pytest.approx(1.0) and min(model.weights.values()) >= 0.0
    assert model.weights["noise"] < 0.1 and 0.3 < model.weights["first"] < 0.7
    # What the search believes is what the whole catalogue, ranked by the blend, comes to.
    held_out = training.held_out
    assert held_out.judge(model.recommend(held_out.asked, 2)) == pytest.approx(model.score_found)


def test_scores_are_the_weighted_sum_of_the_parts():
    components, training = _random_world()
    model = HybridBlend(components).fit(training)
    asked = training.held_out.asked[:5]
    is_seen = np.zeros((5, 30), bool)
    is_seen[asked.profiles.nonzero()] = True
    expected = np.zeros((5, 30))
    for name, weight in model.weights.items():
        for row, scores in enumerate(components[name].scores[:5].astype("float64")):
            unseen = scores[~is_seen[row]]
            expected[row] += weight * (scores - unseen.mean()) / unseen.std()
    np.testing.assert_allclose(model.score(asked), expected, atol=1e-4)


def test_fewer_users_at_a_time_where_the_scores_of_all_parts_are_many(monkeypatch):
    components, training = _random_world()
    whole = HybridBlend(components).fit(training)
    # Three tables of 30 scores for each of the 40 users: 3 x 7 x 30 = 630.
    monkeypatch.setattr(rows_at_once, "MOST_SCORES", 640)
    steps = []
    model = HybridBlend(components).fit(training, progress=lambda _, done, total: steps.append(done))
    assert steps == [7, 14, 21, 28, 35, 40] and model.weights == whole.weights


def test_the_parts_are_brought_up_to_date():
    # Two items, the second taken up by both users after training, which knew the first alone.
    training = TrainingData(
        csr_matrix([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), np.array([0, 0]), times=np.array([0.0, 0.0]),
        held_out=_held_out(np.zeros((2, 2)), [[1, 0], [1, 0]]),
    )  # fmt: skip
    model = HybridBlend({"popularity": Popularity(), "recent": RecentPopularity()}).fit(training)
    stranger = Asked(csr_matrix((1, 2)))
    assert model.recommend(stranger, 2).tolist() == [[0, 1]]
    later = np.repeat([0, 1], [2, 4])
    model.bring_up_to_date(
        TrainingData(csr_matrix([[1.0, 2.0], [1.0, 2.0]]), np.array([0, 1] * 3), later, times=later * 864_000.0)
    )
    assert model.recommend(stranger, 2).tolist() == [[1, 0]]


def test_a_single_good_component_keeps_all_the_weight():
    # The truth is the first component's order, and nothing can be better than perfect.
    components, training = _random_world()
    relevant = np.zeros((40, 30))
    np.put_along_axis(relevant, np.argsort(-components["first"].scores, axis=1)[:, :2], 1.0, axis=1)
    perfect = TrainingData(training.positives, held_out=_held_out(np.zeros((40, 30)), relevant))
    model = HybridBlend(components).fit(perfect)
    assert model.weights == {"first": 1.0, "second": 0.0, "noise": 0.0} and model.score_found == 1.0


def test_the_default_components_follow_the_data():
    random = np.random.default_rng(1)
    matrix = csr_matrix((random.random((20, 30)) < 0.3).astype("float32"))
    users, items = matrix.nonzero()
    held_out = _held_out(matrix, (random.random((20, 30)) < 0.3).astype("float32"))
    ids = {"item_knn", "user_knn", "matrix_factorization", "ease"}
    plain = HybridBlend().fit(TrainingData(matrix, held_out=held_out))
    assert set(plain.weights) == ids
    rich = TrainingData(matrix, users, items, times=np.arange(float(len(users))), items=item_table(), held_out=held_out)
    assert set(HybridBlend().fit(rich).weights) == ids | {"recent_popularity", "content"}


def test_catalogue_smaller_than_the_list_and_everything_seen():
    # The first user has seen both items, so nothing is left; the second is left with one.
    components = {"one": _Fixed([[1, 2], [1, 2]]), "two": _Fixed([[2, 1], [2, 1]])}
    held_out = _held_out([[1, 1], [1, 0]], [[0, 0], [0, 1]], k=5)
    held_out.judge = lambda lists: float((lists == [[-1] * 5, [1, -1, -1, -1, -1]]).mean())
    model = HybridBlend(components).fit(TrainingData(csr_matrix((2, 2)), held_out=held_out))
    assert model.score_found == 1.0


def test_mistakes_are_named():
    with pytest.raises(DataError, match="hybrid fits its weights on validation users"):
        HybridBlend().fit(TrainingData(csr_matrix((2, 2))))
    held_out = _held_out(np.zeros((2, 2)), np.eye(2))
    with pytest.raises(DataError, match="recent_popularity needs the moments"):
        HybridBlend({"recent": RecentPopularity()}).check(TrainingData(csr_matrix((2, 2)), held_out=held_out))
    with pytest.raises(ConfigError, match="components is empty"):
        HybridBlend({})
