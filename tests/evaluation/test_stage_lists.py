"""What each stage puts in front of users."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.evaluation import stage_lists
from mmrec_tf.evaluation.stage_lists import StageLists, predict_pairs, reordered
from mmrec_tf.models import rows_at_once
from tests import tiny_world

USERS = np.array([0, 3, 19])


@pytest.fixture(scope="module")
def models():
    return tiny_world.two_tower(), tiny_world.ranker()


def lists(**options) -> StageLists:
    known = tiny_world.sequences()
    return StageLists(known, USERS, known.profiles(tiny_world.ITEMS)[USERS], **options)


def queries(model) -> np.ndarray:
    return model.query_embeddings(USERS + 1, tiny_world.sequences().latest(USERS))


def test_retrieval_is_the_order_of_the_similarities_without_what_was_seen(models):
    model, _ = models
    scores = queries(model) @ model.candidate_embeddings()[1:].T
    scores[tiny_world.sequences().profiles(tiny_world.ITEMS)[USERS].toarray() > 0] = -np.inf
    expected = np.argsort(-scores, axis=1)
    found = lists().retrieval(model, 10)
    assert found.tolist() == expected[:, :10].tolist()
    # The first two have seen six of thirty items; user 19 has seen none.
    everything = lists(batch_size=2).retrieval(model, 32)
    assert everything[:, :24].tolist() == expected[:, :24].tolist()
    assert (everything == -1).sum(axis=1).tolist() == [8, 8, 2]


def test_an_item_seen_but_not_liked_is_masked_too(models):
    # A stored zero is an item seen and not liked.
    profiles = csr_matrix((np.zeros(30, np.float32), (np.zeros(30, int), np.arange(30))), shape=(3, 30))
    found = StageLists(tiny_world.sequences(), USERS, profiles).retrieval(models[0], 4)
    assert found[0].tolist() == [-1] * 4
    assert (found[1:] >= 0).all()


def test_similarities_of_candidates(models):
    model, _ = models
    candidates = np.array([[5, 0], [29, 17], [3, 3]])
    expected = np.einsum("nd,nmd->nm", queries(model), model.candidate_embeddings()[1:][candidates])
    np.testing.assert_allclose(lists().similarities(model, candidates), expected, atol=1e-6)


def test_fewer_users_at_a_time_where_the_catalogue_is_large(monkeypatch):
    # Two users of 31 table indices have 62 scores.
    model, sizes = tiny_world.remembering_two_tower(raised=5), []
    candidates = np.array([[5, 0], [29, 5], [5, 2]])
    expected = lists().similarities(model, candidates), lists().retrieval(model, 10)
    call = stage_lists.call_in_batches

    def counting(method, *inputs, batch_size):
        sizes.append((len(inputs[0]), batch_size))
        return call(method, *inputs, batch_size=batch_size)

    monkeypatch.setattr(stage_lists, "call_in_batches", counting)
    monkeypatch.setattr(rows_at_once, "MOST_SCORES", 62)
    found = lists().similarities(model, candidates), lists().retrieval(model, 10)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_array_equal(found[1], expected[1])
    assert sizes == [(2, 2), (1, 2), (2, 2), (2, 2)]
    lists().memory(model)
    assert sizes[-1] == (3, 2)


@pytest.mark.parametrize("batch_size", [256, 2])
def test_similarities_hold_what_is_remembered_of_the_history(batch_size):
    # Item 5 is remembered of everything: it gains for users 0 and 3, and not for user 19, who has no history.
    model = tiny_world.remembering_two_tower(raised=5)
    candidates = np.array([[5, 0], [29, 5], [5, -1]])
    history = tiny_world.sequences().latest(USERS)
    towers, remembered = queries(model) @ model.candidate_embeddings()[1:].T, model.remembered(history).numpy()[:, 1:]
    assert (remembered > 0.0).sum(axis=1).tolist() == [1, 1, 0]
    found = lists(batch_size=batch_size).similarities(model, candidates)
    there = candidates >= 0
    expected = np.take_along_axis(towers + remembered, candidates, axis=1)
    np.testing.assert_allclose(found[there], expected[there], atol=1e-6)


def test_scores_are_the_rankers_whatever_the_batch(models):
    _, model = models
    candidates = np.array([[5, 0, -1], [29, 17, 4], [3, -1, -1]])
    expected = np.empty((3, 3), np.float32)
    for row, user in enumerate(USERS):
        for place, item in enumerate(candidates[row]):
            inputs = {
                "user_index": np.array([user + 1]),
                "history": tiny_world.sequences().latest([user]),
                "item_index": np.array([item + 1]),
            }
            expected[row, place] = model(inputs).numpy()[0]
    for batch_size in (256, 2):
        np.testing.assert_allclose(lists(batch_size=batch_size).scores(model, candidates), expected, atol=1e-5)
    similarities = np.full((3, 3), 0.5, np.float32)
    model.similarity_weight.assign(4.0)
    found = lists().scores(model, candidates, similarities)
    model.similarity_weight.assign(0.0)
    np.testing.assert_allclose(found, expected + 2.0, atol=1e-5)


def test_nobody_to_judge(models):
    known = tiny_world.sequences()
    nobody = StageLists(known, np.zeros(0, int), known.profiles(tiny_world.ITEMS)[[]])
    assert nobody.retrieval(models[0], 4).shape == (0, 4)
    assert nobody.scores(models[1], np.zeros((0, 4), int)).shape == (0, 4)


def test_reordered_by_falling_score_with_ties_in_place_and_nones_last():
    candidates = np.array([[7, 8, 9, -1], [4, -1, 5, 6]])
    scores = np.array([[0.1, 0.3, 0.1, 99.0], [np.nan, np.inf, 2.0, 3.0]])
    scores[1, 0] = -5.0
    assert reordered(candidates, scores).tolist() == [[8, 7, 9, -1], [6, 5, 4, -1]]


def test_predicted_pairs_are_chances_or_ratings(models):
    _, model = models
    pairs = tiny_world.ranking_examples(slice(0, 7))
    scores = model(pairs).numpy()
    found = predict_pairs(model, pairs, batch_size=3)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scores)), atol=1e-6)
    ratings = tiny_world.ranker(target="rating")
    np.testing.assert_allclose(predict_pairs(ratings, pairs), ratings(pairs).numpy(), atol=1e-6)
    nothing = {name: array[:0] for name, array in pairs.items()}
    assert predict_pairs(model, nothing).shape == (0,)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_extreme_scores_are_chances_of_zero_and_one():
    model = tiny_world.ranker()
    pairs = tiny_world.ranking_examples(slice(0, 3))
    for bias, chance in ((-200.0, 0.0), (200.0, 1.0)):
        model.bias.assign(bias)
        np.testing.assert_allclose(predict_pairs(model, pairs), chance, atol=1e-30)
