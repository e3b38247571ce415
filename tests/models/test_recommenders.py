"""What every recommender has to bear, whatever its method."""

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf import config_models
from mmrec_tf.config import EvaluationConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.evaluation.ranking_metrics import user_metrics
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models import recommenders
from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData, item_counts
from mmrec_tf.models.recommenders import build_recommender, recommender_names, register_recommender
from tests import tiny_world

NAMES = list(config_models.BASELINE_NAMES)
TRAINED = ("implicit_sgd", "explicit_sgd", "bpr", "vbpr")
QUICK = {"epochs": 5, "batch_size": 16}


def _build(name, seed=0):
    return build_recommender(name, seed, **(QUICK if name in TRAINED else {}))


def _training(users, items, n_users, n_items, times):
    """Training data with everything that any model asks for."""
    users, items = np.asarray(users), np.asarray(items)
    positives = csr_matrix((np.ones(len(users), "float32"), (users, items)), shape=(n_users, n_items))
    relevant = csr_matrix(np.roll(np.eye(n_users, n_items, dtype="float32"), 1, axis=1))
    asked = Asked(positives, np.arange(n_users))
    modalities = {
        name: (vectors[:n_items], mask[:n_items]) for name, (vectors, mask) in tiny_world.modalities().items()
    }
    frame = tiny_world.items_frame()[:n_items]
    table = FeatureTable.build(frame, tiny_world.SCHEMA.item, np.unique(items), modalities)
    return TrainingData(
        positives,
        users,
        items,
        times=times,
        labels=(1.0 + items % 5).astype("float32"),
        items=table,
        user_segments={"country": 1 + np.arange(n_users) % 2},
        held_out=HeldOut(asked, lambda lists: float(user_metrics(lists, relevant, [5])["ndcg@5"].mean()), 5),
    )


def _world():
    users, items, times = tiny_world.interactions()
    return _training(users, items, tiny_world.USERS, tiny_world.ITEMS, times)


@cache
def _fitted(name):
    return _build(name, seed=5).fit(_world())


def _check(model, asked):
    """Numbers for everybody, and lists without what was seen and without repeats."""
    scores = model.score(asked)
    assert scores.shape == asked.profiles.shape and scores.dtype == np.float32 and np.isfinite(scores).all()
    for row, items in enumerate(model.recommend(asked, 10)):
        shown = items[items >= 0]
        unseen = asked.profiles.shape[1] - np.diff(asked.profiles.indptr)[row]
        assert len(shown) == len(set(shown)) == min(10, unseen)
        assert not set(shown) & set(asked.profiles[row].indices)


@pytest.mark.parametrize("name", NAMES)
def test_known_users_and_strangers_are_served(name):
    # A stranger is known by what user 3 has; users 18 and 19 have no interactions in training.
    profiles = _world().positives[[0, 3, 3, 18]].tocsr()
    _check(_fitted(name), Asked(profiles, np.array([0, 3, -1, 18]), np.array([200.0, 50.0, 200.0, 0.5])))
    _check(_fitted(name), Asked(profiles))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_profile_of_a_stranger_gets_what_is_popular(name):
    asked = Asked(csr_matrix((1, tiny_world.ITEMS)), np.array([-1]))
    model, expected = _fitted(name), np.argsort(-item_counts(_world().positives), kind="stable")[:4]
    if name in ("recent_popularity", "hybrid"):
        # These know when it happened. At one moment, items 2, 0 and 1 have six, four and two interactions.
        items, users = np.repeat([2, 0, 1, 3], [6, 4, 2, 1]), np.concatenate([np.arange(n) for n in (6, 4, 2, 1)])
        training = _training(users, items, 6, 8, np.full(13, 3.0))
        model, asked, expected = _build(name).fit(training), Asked(csr_matrix((1, 8)), np.array([-1])), [2, 0, 1, 3]
    np.testing.assert_array_equal(model.recommend(asked, 4)[0], expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "hybrid"])
def test_what_is_popular_is_brought_up_to_date_and_what_was_learned_stays(name):
    # Item 3 comes to be the most popular after training: ten of the users take it up at once.
    users, items, times = tiny_world.interactions()
    later = np.concatenate([users, np.arange(10)]), np.concatenate([items, np.full(10, 3)])
    known = _training(*later, tiny_world.USERS, tiny_world.ITEMS, np.concatenate([times, np.full(10, 150.0)]))
    model = _build(name, seed=5).fit(_world())
    stranger = Asked(csr_matrix((1, tiny_world.ITEMS)), np.array([-1]))
    asked = Asked(_world().positives[:4], np.arange(4), np.full(4, 50.0))
    before, found = model.recommend(stranger, 4)[0], model.score(asked)
    model.bring_up_to_date(known)
    expected = np.argsort(-item_counts(known.positives), kind="stable")[:4]
    if name == "recent_popularity":
        expected = expected[:1]
    assert before[0] != 3
    np.testing.assert_array_equal(model.recommend(stranger, 4)[0, : len(expected)], expected)
    if name not in ("popularity", "segment_popularity"):
        is_learned = found > 0.0 if name in ("item_knn", "user_knn") else np.ones(found.shape, bool)
        assert is_learned.any()
        np.testing.assert_array_equal(model.score(asked)[is_learned], found[is_learned])


@pytest.mark.parametrize("name", NAMES)
def test_awkward_data(name):
    # A single user, who did the same thing over and over; users with one interaction, in a catalogue smaller than the
    # list. All at one moment, with items that nobody touched.
    for users, items, n_users, n_items in (([0, 0, 0, 0], [0, 1, 1, 1], 1, 6), ([0, 1, 2], [0, 1, 1], 3, 3)):
        training = _training(users, items, n_users, n_items, np.full(len(users), 7.0))
        asked = Asked(training.positives, np.arange(n_users), np.full(n_users, 8.0))
        _check(_build(name).fit(training), asked)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("implicit_sgd", "explicit_sgd", "bpr")])
def test_the_same_seed_gives_the_same_scores(name):
    asked = Asked(_world().positives, np.arange(tiny_world.USERS), np.full(tiny_world.USERS, 200.0))
    again = _build(name, seed=5).fit(_world())
    np.testing.assert_array_equal(again.score(asked), _fitted(name).score(asked))


def test_names_are_those_that_the_configuration_takes():
    assert recommender_names() == config_models.BASELINE_NAMES
    assert EvaluationConfig().baselines == ["popularity", "item_knn", "matrix_factorization"]
    with pytest.raises(ValueError, match="no baseline 'eaze'. Did you mean 'ease'"):
        EvaluationConfig(baselines=["eaze"])


def test_a_recommender_of_your_own_is_taken_by_name(monkeypatch):
    class Own(Popularity):
        pass

    monkeypatch.setattr(recommenders, "_RECOMMENDERS", dict(recommenders._RECOMMENDERS))
    register_recommender("own", Own)
    try:
        assert EvaluationConfig(baselines=["own"]).baselines == ["own"]
        assert type(build_recommender("own", seed=3)) is Own
    finally:
        config_models.BASELINE_NAMES.remove("own")


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="no baseline 'item_nkn'. Did you mean 'item_knn'"):
        build_recommender("item_nkn")
    with pytest.raises(ConfigError, match="item_knn has no setting 'k'; it takes neighbours, shrink"):
        build_recommender("item_knn", k=3)
    with pytest.raises(ConfigError, match="takes a subclass of RecommenderModel"):
        register_recommender("own", dict)
