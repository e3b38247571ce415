import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score, ndcg_score

from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.ranking_metrics import METRICS, chance_recall, coverage, group_metrics, mean_ndcg, user_metrics


def _relevant(*rows, items=10):
    users = [user for user, row in enumerate(rows) for _ in row]
    places = [item for row in rows for item in row]
    return csr_matrix((np.ones(len(places)), (users, places)), shape=(len(rows), items))


def test_by_hand():
    # User 0 wants 1, 5 and 7; of the list 5, 2, 1, 9 the first and third place are hits.
    # User 1 wants 3, which is second. User 2 wants 4 and 6 and gets neither.
    lists = np.array([[5, 2, 1, 9], [8, 3, 0, 1], [0, 1, -1, -1]])
    metrics = user_metrics(lists, _relevant([1, 5, 7], [3], [4, 6]), [1, 3])
    log = np.log2
    expected = {
        "recall@1": [1 / 3, 0, 0],
        "recall@3": [2 / 3, 1, 0],
        "ndcg@1": [1, 0, 0],
        # (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3) + 1/log2(4)); 1/log2(3) over an ideal of 1
        "ndcg@3": [(1 + 0.5) / (1 + 1 / log(3) + 0.5), 1 / log(3), 0],
        "mrr@1": [1, 0, 0],
        "mrr@3": [1, 1 / 2, 0],
        "hit_rate@1": [1, 0, 0],
        "hit_rate@3": [1, 1, 0],
        "map@1": [1, 0, 0],
        # precisions at the hits 1/1 and 2/3, over min(3, 3); 1/2 over min(3, 1)
        "map@3": [(1 + 2 / 3) / 3, 1 / 2, 0],
    }
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(metrics[name], values, err_msg=name)


def test_the_mean_over_cut_offs_by_hand():
    # The list's second place is a hit: nothing at 1, 1 / log2(3) at 2 and 4.
    found = mean_ndcg(np.array([[8, 3, 0, 1], [0, 1, 2, 3]]), _relevant([3], [4]), [1, 2, 4])
    np.testing.assert_allclose(found, [(0 + 2 / np.log2(3)) / 3, 0])


def test_padding_never_hits():
    # -1 is the last row in NumPy's indexing, and here the last item of the user before.
    metrics = user_metrics(np.array([[0, -1], [-1, -1]]), _relevant([9], [0]), [2])
    assert metrics["recall@2"].tolist() == [0, 0]


def test_a_cutoff_beyond_the_list_counts_what_there_is():
    metrics = user_metrics(np.array([[4, 2]]), _relevant([2, 3, 5]), [5])
    assert metrics["recall@5"][0] == pytest.approx(1 / 3)
    assert metrics["ndcg@5"][0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3) + 1 / 2))


def test_a_perfect_list_has_one_everywhere_but_recall():
    metrics = user_metrics(np.array([[1, 2]]), _relevant([1, 2, 3, 4]), [2])
    assert metrics["recall@2"][0] == 0.5
    assert [metrics[f"{name}@2"][0] for name in ("ndcg", "mrr", "hit_rate", "map")] == [1, 1, 1, 1]


def _random_case():
    random = np.random.default_rng(0)
    truth = (random.random((40, 30)) < 0.15).astype(int)
    truth[np.arange(40), random.integers(0, 30, 40)] = 1
    scores = random.random((40, 30))
    return truth, scores, np.argsort(-scores, axis=1)


def test_ndcg_is_scikit_learns():
    truth, scores, lists = _random_case()
    for k in (1, 5, 10, 30):
        ours = user_metrics(lists, csr_matrix(truth), [k])[f"ndcg@{k}"].mean()
        assert ours == pytest.approx(ndcg_score(truth, scores, k=k))


def test_map_of_whole_lists_is_scikit_learns_average_precision():
    truth, scores, lists = _random_case()
    ours = user_metrics(lists, csr_matrix(truth), [30])["map@30"]
    np.testing.assert_allclose(ours, [average_precision_score(t, s) for t, s in zip(truth, scores)])


def test_a_plain_loop_agrees():
    truth, _, lists = _random_case()
    metrics = user_metrics(lists[:, :12], csr_matrix(truth), [10])
    for user in range(40):
        wanted, found, precisions, first = set(np.flatnonzero(truth[user])), 0, 0.0, 0.0
        for rank, item in enumerate(lists[user, :10], start=1):
            if item in wanted:
                found += 1
                precisions += found / rank
                first = first or 1 / rank
        assert metrics["recall@10"][user] == pytest.approx(found / len(wanted))
        assert metrics["hit_rate@10"][user] == (found > 0)
        assert metrics["mrr@10"][user] == pytest.approx(first)
        assert metrics["map@10"][user] == pytest.approx(precisions / min(10, len(wanted)))


def test_coverage_by_hand():
    lists = np.array([[0, 1, 5], [1, 0, -1]])
    # In the first two places: items 0 and 1, of ten; within the catalogue of 1, 2, 3 and 5: item 1 alone, then 1 and 5.
    assert coverage(lists, 2, np.ones(10, bool)) == pytest.approx(2 / 10)
    some = np.isin(np.arange(10), [1, 2, 3, 5])
    assert coverage(lists, 2, some) == pytest.approx(1 / 4)
    assert coverage(lists, 3, some) == pytest.approx(2 / 4)


def test_chance_recall_by_hand_and_by_simulation():
    # Five of 20 and five of 50 by chance; with three left, five places show them all.
    assert chance_recall(np.array([20, 50, 3]), 5) == pytest.approx((0.25 + 0.1 + 1) / 3)
    random = np.random.default_rng(1)
    hits = [np.isin([2, 7], random.permutation(20)[:5]).mean() for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(chance_recall(np.array([20]), 5), abs=0.02)


def _evaluation_set(relevant, cold, warm, profiles=None):
    n, items = relevant.shape
    is_cold = np.isin(np.arange(items), cold)
    return EvaluationSet(np.arange(n), csr_matrix((n, items)) if profiles is None else profiles, relevant, is_cold,
                         np.array(warm))  # fmt: skip


def test_groups_by_hand():
    # Items 8 and 9 are new. User 0 (warm) wants 1 and 8, user 1 (new) wants 9, user 2 (warm) wants 2.
    # User 0 has seen five items, so chance puts a given one into two places with 2 / 5, for user 1 with 2 / 10.
    profiles = csr_matrix((np.ones(5), ([0] * 5, [2, 3, 4, 5, 6])), shape=(3, 10))
    users = _evaluation_set(_relevant([1, 8], [9], [2]), [8, 9], [True, False, True], profiles)
    lists = np.array([[1, 8, 0], [0, 9, 1], [3, 4, 2]])
    groups = group_metrics(lists, users, [2])
    assert {name: group["users"] for name, group in groups.items()} == {
        "all": 3, "warm_users": 2, "new_users": 1, "cold_items": 2,
    }  # fmt: skip
    assert groups["all"]["recall@2"] == pytest.approx((1 + 1 + 0) / 3)
    assert groups["warm_users"]["recall@2"] == pytest.approx((1 + 0) / 2)
    assert groups["new_users"]["mrr@2"] == pytest.approx(1 / 2)
    cold = groups["cold_items"]
    assert cold["recall@2"] == 1.0
    # Item 1 of user 0 no longer counts: the first hit is second for both.
    assert cold["mrr@2"] == pytest.approx(1 / 2)
    assert cold["coverage@2"] == 1.0
    assert groups["all"]["coverage@2"] == pytest.approx(6 / 10)
    assert cold["chance_recall@2"] == pytest.approx((2 / 5 + 2 / 10) / 2)
    assert cold["recall_over_chance@2"] == pytest.approx(1 / 0.3)
    assert "chance_recall@2" not in groups["all"]


def test_an_empty_group_has_no_figures():
    groups = group_metrics(np.array([[0, 1]]), _evaluation_set(_relevant([0]), [], [True]), [2])
    for group in ("new_users", "cold_items"):
        assert groups[group].pop("users") == 0
        assert set(groups[group].values()) == {None}
    assert set(groups["new_users"]) == {f"{name}@2" for name in METRICS}
