import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import DataError, MmrecError
from mmrec_tf.models import rows_at_once
from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recommender_model import Asked, TrainingData, best_columns, consumed, occurrences, tells_nothing
from tests.tiny_world import item_table


@pytest.mark.parametrize("k", [1, 3, 7, 20])
def test_best_columns_are_those_of_a_stable_sort(k):
    # Six values for twenty columns, so that most rows have ties at the border.
    scores = np.random.default_rng(k).integers(0, 6, (50, 20)).astype("float32")
    scores[3] = -np.inf
    np.testing.assert_array_equal(best_columns(scores, k), np.argsort(-scores, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("k", [2, 3])
def test_what_is_no_number_has_no_place_in_a_list(k):
    class Broken(Popularity):
        def score(self, asked):
            return np.where(np.arange(3) == 1, np.nan, super().score(asked))

    model = Broken().fit(TrainingData(csr_matrix(np.eye(3, dtype="float32"))))
    with pytest.raises(MmrecError, match=r"score of column 1 \(an item\) in row 0 .* is NaN"):
        model.recommend(Asked(csr_matrix((2, 3))), k)


def test_lists_leave_out_what_was_seen_and_end_where_nothing_is_left():
    # Popularity 3, 2, 1, 1. The first user has seen item 0 and, without liking it, item 2; the second saw all but 3.
    training = TrainingData(csr_matrix(np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype="float32")))
    profiles = csr_matrix(([1.0, 0.0, 1.0, 1.0, 1.0], ([0, 0, 1, 1, 1], [0, 2, 0, 1, 2])), shape=(2, 4))
    lists = Popularity().fit(training).recommend(Asked(profiles), k=5)
    np.testing.assert_array_equal(lists, [[1, 3, -1, -1, -1], [3, -1, -1, -1, -1]])


def test_many_users_are_ranked_as_one_by_one():
    random = np.random.default_rng(1)
    matrix = csr_matrix((random.random((600, 12)) < 0.3).astype("float32"))
    model = Popularity().fit(TrainingData(matrix))
    together = model.recommend(Asked(matrix), 4)
    single = np.concatenate([model.recommend(Asked(matrix)[row : row + 1], 4) for row in range(600)])
    np.testing.assert_array_equal(together, single)


def test_fewer_users_at_a_time_where_the_catalogue_is_large(monkeypatch):
    sizes = []

    class Counting(Popularity):
        def score(self, asked):
            sizes.append(len(asked))
            return super().score(asked)

    matrix = csr_matrix(np.eye(5, 12, dtype="float32"))
    model = Counting().fit(TrainingData(matrix))
    whole = model.recommend(Asked(matrix), 4)
    monkeypatch.setattr(rows_at_once, "MOST_SCORES", 24)
    np.testing.assert_array_equal(model.recommend(Asked(matrix), 4), whole)
    assert sizes == [5, 2, 2, 1]


def test_a_part_of_those_asked_keeps_rows_and_times_together():
    asked = Asked(csr_matrix(np.eye(3)), np.array([5, -1, 7]), np.array([0.5, 1.5, 2.5]))
    part = asked[np.array([2, 0])]
    assert part.user_rows.tolist() == [7, 5] and part.times.tolist() == [2.5, 0.5]
    np.testing.assert_array_equal(part.profiles.toarray(), np.eye(3)[[2, 0]])
    assert asked[:2][1:].user_rows.tolist() == [-1]


def test_copies_do_not_change_what_they_are_made_of():
    matrix = csr_matrix(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2), dtype="float32")
    doubled = csr_matrix((np.array([1.0, 2.0, 0.0], "float32"), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_array_equal(occurrences(doubled).toarray(), [[0, 3], [0, 0]])
    np.testing.assert_array_equal(consumed(doubled).toarray(), [[0, 1], [0, 0]])
    assert doubled.nnz == 3 and doubled.data.tolist() == [1.0, 2.0, 0.0] and matrix.nnz == 2
    assert occurrences(doubled).nnz == consumed(doubled).nnz == 1


def test_scores_tell_nothing_where_all_that_is_unseen_has_none():
    # Nothing at all, the seen item alone, an unseen one too, below zero, and only an unseen one.
    scores = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, -1, 0], [0, 0, 1]], dtype="float32")
    profiles = csr_matrix(np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], dtype="float32"))
    assert tells_nothing(scores, profiles).tolist() == [True, True, False, False, False]


def test_mistakes_are_named():
    matrix = csr_matrix((2, 3))
    with pytest.raises(DataError, match="differ in length.*'user_rows': 2, 'item_rows': 1"):
        TrainingData(matrix, user_rows=np.zeros(2, int), item_rows=np.zeros(1, int))
    with pytest.raises(DataError, match="not finite"):
        TrainingData(matrix, times=np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="item table holds 30 items, the matrix 3"):
        TrainingData(matrix, items=item_table())
    with pytest.raises(DataError, match="times must be one number for each of the 2 profiles"):
        Asked(matrix, times=np.zeros(3))
