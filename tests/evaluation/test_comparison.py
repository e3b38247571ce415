import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.config import EvaluationConfig
from mmrec_tf.config_models import BASELINE_NAMES
from mmrec_tf.errors import ConfigError, DataError, MmrecError
from mmrec_tf.evaluation.comparison import (
    Comparison,
    baseline_scorers,
    brought_up_to_date,
    check_baselines,
    compare,
    fit_baselines,
    metric_title,
)
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.models import recommenders, rows_at_once
from mmrec_tf.models.bpr import Bpr
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.matrix_factorization import MatrixFactorization
from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import Asked, TrainingData


def _users():
    # Two users of four items; item 3 is new. User 0 saw item 0 and wants 1, user 1 saw nothing and wants 3.
    return EvaluationSet(
        user_rows=np.array([0, 1]),
        profiles=csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 0]], dtype="float32")),
        relevant=csr_matrix(np.array([[0, 1, 0, 0], [0, 0, 0, 1]], dtype="float32")),
        is_cold_item=np.array([False, False, False, True]),
        is_warm_user=np.array([True, False]),
    )


def _compared():
    scores = np.array([[9.0, 3, 2, 1], [4, 3, 2, 1]])  # lists 1 2 3 and 0 1 2
    return compare(
        {"popularity": lambda positions: scores[positions], "ours": np.array([[2, 1, 3], [3, 0, 1]])}, _users(), [1, 3]
    )


def test_table_by_hand():
    comparison = _compared()
    header, rows = comparison.to_rows(metrics=["recall@1", "mrr@3"])
    assert header == ["model", "Recall@1", "MRR@3"]
    # popularity finds item 1 at once and item 3 never; ours finds them second and first.
    assert rows == [["popularity", "0.5000", "0.5000"], ["ours", "0.5000", "0.7500"]]


def test_cold_items_show_how_many_times_chance():
    header, rows = _compared().to_rows("cold_items")
    assert header[-1] == "Times chance@1"
    # One of four unseen items: chance finds it in a quarter of the lists, ours always.
    assert [row[-1] for row in rows] == ["0.0x", "4.0x"]


def test_an_empty_group_shows_dashes():
    users = _users()
    users.is_cold_item = np.zeros(4, bool)
    comparison = compare({"ours": np.array([[2], [3]])}, users, [1])
    assert comparison.to_rows("cold_items")[1] == [["ours"] + 7 * ["-"]]


def test_dict_is_strict_json_and_reads_back():
    written = _compared().to_dict()
    read = json.loads(json.dumps(written, allow_nan=False))
    assert read["baselines"] == ["popularity"]
    assert list(read["groups"]) == ["all", "warm_users", "new_users", "cold_items"]
    assert Comparison(read["ks"], read["groups"]).to_rows() == _compared().to_rows()


def test_progress_names_the_model():
    calls = []
    compare({"item_knn": lambda p: np.ones((len(p), 4))}, _users(), [1], progress=lambda *call: calls.append(call))
    assert calls == [("ranking with item knn", 2, 2)]


def test_fewer_users_at_a_time_where_the_catalogue_is_large(monkeypatch):
    monkeypatch.setattr(rows_at_once, "MOST_SCORES", 4)
    sizes = []

    def scorer(positions):
        sizes.append(len(positions))
        return np.array([[9.0, 3, 2, 1], [4, 3, 2, 1]])[positions]

    found = compare({"popularity": scorer}, _users(), [1, 3]).groups["all"]["popularity"]
    assert sizes == [1, 1] and found == _compared().groups["all"]["popularity"]


def test_one_that_cannot_rank_costs_its_row_where_the_others_do_not_need_it():
    models = {"item_knn": lambda p: np.full((len(p), 4), np.nan), "ours": np.array([[2], [3]])}
    with pytest.raises(MmrecError, match="NaN"):
        compare(models, _users(), [1])
    with pytest.warns(UserWarning, match="item_knn is left out of the comparison.*NaN"):
        found = compare(models, _users(), [1], optional=["item_knn"])
    assert list(found.groups["all"]) == ["ours"]


def _raising(error):
    def scorer(positions):
        raise error

    return scorer


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MmrecError("no place"), "no place"),
        (ValueError("shapes"), "ValueError: shapes"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_any_failure_costs_a_baseline_its_row_and_nothing_else(monkeypatch, error, told):
    class Failing(Popularity):
        def fit(self, training, progress=None):
            raise error

        def bring_up_to_date(self, known):
            raise error

    monkeypatch.setitem(recommenders._RECOMMENDERS, "item_knn", Failing)
    with pytest.warns(UserWarning, match=f"^the baseline item_knn is left out of the comparison: {told}$"):
        fitted = {"item_knn": Failing(), "popularity": Popularity()}
        assert list(brought_up_to_date(fitted, TrainingData(csr_matrix(np.eye(4))))) == ["popularity"]
    with pytest.warns(UserWarning, match=f"^the baseline item_knn is left out of the comparison: {told}$"):
        assert list(fit_baselines(["item_knn", "popularity"], csr_matrix(np.eye(4)))) == ["popularity"]
    models = {"item_knn": _raising(error), "ours": np.array([[2], [3]])}
    with pytest.warns(UserWarning, match=f"^item_knn is left out of the comparison: {told}$"):
        assert list(compare(models, _users(), [1], optional=["item_knn"]).groups["all"]) == ["ours"]
    with pytest.raises(type(error)):
        compare(models, _users(), [1], optional=["ours"])


def test_mistakes_are_named():
    with pytest.raises(MmrecError, match=r"lists of ours have shape \[2, 1\].*\[2, 3 or more\]"):
        compare({"ours": np.zeros((2, 1), int)}, _users(), [3])
    empty = csr_matrix((0, 4))
    nobody = EvaluationSet(np.zeros(0, int), empty, empty, np.zeros(4, bool), np.zeros(0, bool))
    with pytest.raises(MmrecError, match="holds no user"):
        compare({"ours": np.zeros((0, 3), int)}, nobody, [3])
    with pytest.raises(ConfigError, match="no baseline 'explicit_asl'. Did you mean 'explicit_als'"):
        fit_baselines(["popularity", "explicit_asl"], csr_matrix((2, 2)))
    with pytest.raises(ConfigError, match="no baseline 'explicit_asl'. Did you mean 'explicit_als'"):
        check_baselines(["popularity", "explicit_asl"], TrainingData(csr_matrix((2, 2))))


NEEDY = {
    "recent_popularity": "declare a timestamp feature",
    "segment_popularity": "needs a categorical feature of the users",
    "ease": "20,001 items",
    "explicit_als": "set data.label",
    "explicit_sgd": "set data.label",
    "vbpr": "items with media",
    "content": "items with media",
    "hybrid": "hold some out with split.validation",
}


@pytest.mark.parametrize("name", BASELINE_NAMES)
def test_a_baseline_that_the_data_cannot_feed_is_known_before_it_is_fitted(name):
    # One user who took up one item more than EASE takes, and nothing else is told.
    training = TrainingData(csr_matrix(np.ones((1, 20_001), "float32")))
    if name not in NEEDY:
        check_baselines([name], training)
        return
    with pytest.raises(DataError, match=NEEDY[name]):
        check_baselines(["popularity", name], training)
    with pytest.warns(UserWarning, match=f"the baseline {name} is left out of the comparison: .*{NEEDY[name]}"):
        fitted = fit_baselines(["popularity", name], training)
    assert list(fitted) == ["popularity"]


def test_a_baseline_whose_training_diverges_is_left_out(monkeypatch):
    class Diverging(Bpr):
        def __init__(self, seed=0):
            super().__init__(factors=2, learning_rate=float("inf"), epochs=2, batch_size=4, seed=seed)

    monkeypatch.setitem(recommenders._RECOMMENDERS, "bpr", Diverging)
    train = csr_matrix(np.eye(4, dtype="float32"))
    with pytest.warns(UserWarning, match="the baseline bpr is left out.*no longer a number"):
        fitted = fit_baselines(["bpr", "popularity"], train)
    assert list(fitted) == ["popularity"]


def test_baselines_are_fitted_in_order_and_score_from_the_profiles():
    random = np.random.default_rng(0)
    train = csr_matrix((random.random((30, 4)) < 0.5).astype("float32"))
    fitted = fit_baselines(["item_knn", "popularity", "matrix_factorization"], train, seed=3)
    assert [type(model) for model in fitted.values()] == [ItemKnn, Popularity, MatrixFactorization]
    assert fitted["matrix_factorization"].seed == 3
    users = _users()
    for name, scorer in baseline_scorers(fitted, users).items():
        np.testing.assert_array_equal(scorer(np.array([1, 0])), fitted[name].score(Asked(users.profiles))[[1, 0]])


def test_baselines_are_asked_at_the_moment_that_is_given():
    # Item 0 on day 0, item 1 on day 10: who asks on day 5 knows the first alone.
    training = TrainingData(
        csr_matrix(np.eye(2, 4)), np.array([0, 1]), np.array([0, 1]), times=np.array([0.0, 864_000.0])
    )
    fitted = {"recent": RecentPopularity(half_life=10.0).fit(training)}
    scores = baseline_scorers(fitted, _users(), np.array([1e9, 432_000.0]))["recent"](np.array([1, 0]))
    np.testing.assert_allclose(scores, [[1, 0, 0, 0], [0.5, 1, 0, 0]])


def test_titles():
    assert [metric_title(key) for key in ("ndcg@10", "hit_rate@5", "validation NDCG@10", "val_loss")] == [
        "NDCG@10", "Hit rate@5", "Validation NDCG@10", "Val loss",
    ]  # fmt: skip


@pytest.mark.slow
def test_personal_baselines_beat_popularity_on_movielens(shared_data):
    ratings = pd.read_csv(shared_data / "movielens-small" / "ratings.csv").sort_values("timestamp", kind="stable")
    users, items = (ratings[name].astype("category").cat.codes.to_numpy() for name in ("userId", "movieId"))
    age = ratings.groupby("userId").cumcount(ascending=False).to_numpy()

    def matrix(rows):
        return csr_matrix((np.ones(rows.sum(), "float32"), (users[rows], items[rows])), shape=(610, 9724))

    train = matrix(age >= 2)
    cold = np.asarray(train.sum(axis=0)).ravel() == 0
    held_out = EvaluationSet(np.arange(610), matrix(age >= 1), matrix(age == 0), cold, np.ones(610, bool))
    models = baseline_scorers(fit_baselines(EvaluationConfig().baselines, train), held_out)
    found = compare(models, held_out, [10]).groups["all"]
    for name in ("item_knn", "matrix_factorization"):
        assert found[name]["ndcg@10"] > 1.4 * found["popularity"]["ndcg@10"]
    # Popularity's by a plain loop: the ten most popular unseen movies of each user.
    order = np.argsort(-np.asarray(train.sum(axis=0)).ravel(), kind="stable")
    hits = 0
    for user in range(610):
        seen = set(held_out.profiles[user].indices)
        hits += held_out.relevant[user].indices[0] in [item for item in order if item not in seen][:10]
    assert found["popularity"]["recall@10"] == pytest.approx(hits / 610)
