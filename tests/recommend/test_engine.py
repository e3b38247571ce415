"""The chain as one graph, with hand-set embeddings: the right items in the right order, and nothing seen twice."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.recommend import search
from mmrec_tf.recommend.engine import NOTHING, RecommendationEngine
from tests import tiny_world
from tests.recommend import context_world

# Similarity of each item row to every user: the higher the row, the nearer.
NEARNESS = np.linspace(-0.9, 0.9, tiny_world.ITEMS)


@pytest.fixture(scope="module")
def trained():
    """The models' engine and its own embeddings, computed once."""
    engine = tiny_world.engine(candidates=6)
    return engine, engine.item_embeddings.numpy()


@pytest.fixture
def engine(trained, monkeypatch):
    """Every query is (1, 0, ...), so an item's similarity is the first number of its embedding."""
    engine, embeddings = trained
    by_hand = np.zeros_like(embeddings)
    by_hand[1:, 0] = NEARNESS
    # Index 0 is no item: it must not be found however near it is.
    by_hand[0, 0] = 1.0
    engine.item_embeddings.assign(by_hand)
    monkeypatch.setattr(engine, "_query", lambda asked: tf.one_hot(tf.zeros_like(asked.users), 10))
    yield engine
    engine.item_embeddings.assign(embeddings)


def seen_by(user: int) -> set[str]:
    users, items, _ = tiny_world.interactions()
    return {f"i{item}" for item in items[users == user]}


def asked(function, ids, k) -> tuple[list[list[str]], np.ndarray]:
    names, scores = function(tf.constant(ids), tf.constant(k))
    assert names.shape == scores.shape == (len(ids), k)
    return [[name.decode() for name in row] for row in names.numpy()], scores.numpy()


def best_unseen(user: int) -> list[str]:
    return [f"i{row}" for row in range(29, -1, -1) if f"i{row}" not in seen_by(user)]


def test_the_nearest_unseen_items_in_order(engine):
    names, scores = asked(engine.recommend, ["u3", "u0"], 5)
    assert names == [best_unseen(3)[:5], best_unseen(0)[:5]]
    np.testing.assert_allclose(scores[0], [NEARNESS[int(name[1:])] for name in names[0]], atol=1e-6)
    assert asked(engine.retrieve_ids, ["u3", "u0"], 5)[0] == names


def test_seen_items_are_never_returned_to_anybody(engine):
    users = [f"u{row}" for row in range(tiny_world.USERS)]
    names, _ = asked(engine.recommend, users, 30)
    for user, found in enumerate(names):
        assert found == best_unseen(user) + [""] * len(seen_by(user))


def test_users_who_are_unknown_or_did_nothing_are_answered(engine):
    names, _ = asked(engine.recommend, ["nobody", "", "u19"], 3)
    assert names == [["i29", "i28", "i27"]] * 3


def test_an_unknown_user_gets_the_models_answer_for_index_zero(trained):
    engine, _ = trained
    query = engine.embed_user(tf.constant(["nobody"])).numpy()
    expected = engine.retrieval.query_embeddings(np.zeros(1), np.zeros((1, 5)))
    np.testing.assert_allclose(query, expected, atol=1e-6)
    np.testing.assert_allclose(
        engine.embed_user(tf.constant(["u3"])).numpy(),
        engine.retrieval.query_embeddings(np.array([4]), tiny_world.sequences().latest([3])),
        atol=1e-6,
    )


def test_a_stranger_is_served_what_is_popular(trained):
    # Where nothing is known of a user, nothing but the items' own numbers is left in the score.
    engine, embeddings = trained
    _, scores = asked(engine.recommend, ["nobody"], 30)
    np.testing.assert_allclose(scores[0], np.sort(embeddings[1:, 8] + embeddings[1:, 9])[::-1], atol=1e-6)
    # Before training, two items differ by the temperature times the log of how much oftener one was consumed.
    count = np.bincount(tiny_world.interactions()[1], minlength=30)
    rows = np.flatnonzero(count)
    expected = tiny_world.config().models.retrieval.temperature * np.log(count[rows] / count[rows[0]])
    np.testing.assert_allclose(embeddings[rows + 1, 8] - embeddings[rows[0] + 1, 8], expected, atol=1e-6)


def test_neighbours_of_the_history_are_added_beside_the_towers():
    retrieval = tiny_world.two_tower(neighbours=1)
    plain = tiny_world.engine(retrieval)
    before = plain.score(tf.constant([4, 4, 0]), tf.constant([30, 29, 30])).numpy()
    # Item row 29 is the one neighbour of every item, at a similarity of 0.5.
    retrieval.memories["companions"].remember(np.full((30, 1), 29), np.full((30, 1), 0.5))
    # Halved from one item to the one before, five of them count 1 + 1/2 + ... + 1/16, and are divided by its root.
    retrieval.memories["companions"].weight.assign(20.0 / np.sqrt(1.9375))
    engine = tiny_world.engine(retrieval)
    after = engine.score(tf.constant([4, 4, 0]), tf.constant([30, 29, 30])).numpy()
    # 20 * 0.5, and nothing without a history.
    np.testing.assert_allclose(after - before, [10.0, 0.0, 0.0], atol=1e-5)
    names, scores = asked(engine.recommend, ["u3", "nobody"], 30)
    assert names[0][0] == "i29" and scores[0, 0] == pytest.approx(before[0] + 10.0, abs=1e-5)
    assert names[1] == asked(plain.recommend, ["nobody"], 30)[0][0]
    # Which items were consumed together is told by their ids: without i29's own, the 10 are gone.
    _, lost, _ = engine.explain(tf.constant(["u3"]), tf.constant(["i5"]))
    retrieval.memories["companions"].remember(np.full((30, 1), 5), np.full((30, 1), 0.5))
    _, more, _ = engine.explain(tf.constant(["u3"]), tf.constant(["i5"]))
    np.testing.assert_allclose(more - lost, [[0.0, 0.0, 10.0]], atol=1e-5)


@pytest.mark.parametrize("k", [24, 25, 30, 100])
def test_places_beyond_what_is_left_are_empty(engine, k):
    # u3 has seen 6 of the 30 items.
    for function in (engine.recommend, engine.retrieve_ids):
        names, scores = asked(function, ["u3"], k)
        assert names[0] == best_unseen(3) + [""] * (k - 24)
        assert (scores[0, 24:] == NOTHING).all() and (scores[0, :24] > NOTHING).all()


def test_equal_scores_keep_the_tables_order(engine):
    embeddings = engine.item_embeddings.numpy()
    embeddings[1:, 0] = [0.5, 0.25] * 15
    engine.item_embeddings.assign(embeddings)
    names, _ = asked(engine.recommend, ["nobody"], 30)
    assert names[0] == [f"i{row}" for row in (*range(0, 30, 2), *range(1, 30, 2))]


def test_the_ranker_orders_the_candidates_and_nothing_else(engine, monkeypatch):
    handed = []

    def rank(asked, items, similarities, weights):
        assert weights is None
        handed.append((items.numpy(), similarities.numpy()))
        return -tf.cast(items, tf.float32)  # the lowest row first

    monkeypatch.setattr(engine, "ranking", object())
    monkeypatch.setattr(engine, "rank", rank)
    nearest = best_unseen(3)[:6]
    names, scores = asked(engine.recommend, ["u3"], 4)
    # Six candidates, turned around, and the best four of them.
    assert names[0] == nearest[::-1][:4]
    assert scores[0].tolist() == [-(int(name[1:]) + 1) for name in names[0]]
    items, similarities = handed[-1]
    assert items[0].tolist() == [int(name[1:]) + 1 for name in nearest]
    np.testing.assert_allclose(similarities[0], NEARNESS[items[0] - 1], atol=1e-6)
    # Asked for more than the candidates, all are ranked; empty places stay last however the ranker scores them.
    names, scores = asked(engine.recommend, ["u3"], 30)
    assert names[0] == best_unseen(3)[::-1] + [""] * 6
    assert (scores[0, 24:] == NOTHING).all()


def test_ranking_scores_blend_in_the_similarity():
    ranking = tiny_world.ranker()
    engine = tiny_world.engine(ranking=ranking)
    users, items = engine.asked(tf.constant([4])), tf.constant([[3, 9, 30]])
    similarities = tf.constant([[0.5, -0.25, 0.125]])
    history = tf.constant(tiny_world.sequences().latest([3]))
    plain = ranking({"user_index": users.users, "history": history, "item_index": items}).numpy()
    np.testing.assert_allclose(engine.rank(users, items, similarities).numpy(), plain, atol=1e-6)
    ranking.similarity_weight.assign(3.0)
    # (score + 3 similarity) / (1 + 3)
    expected = (plain + 3 * similarities.numpy()) / 4
    np.testing.assert_allclose(engine.rank(users, items, similarities).numpy(), expected, atol=1e-6)
    # Pairs are judged by the ranker alone, as chances.
    pairs = engine.rank_pairs(tf.constant(["u3"] * 3), tf.constant(["i2", "i8", "i29"])).numpy()
    np.testing.assert_allclose(pairs, 1 / (1 + np.exp(-plain[0])), atol=1e-6)


def test_ratings_are_served_as_ratings():
    ranking = tiny_world.ranker(target="rating")
    engine = tiny_world.engine(ranking=ranking)
    inputs = {
        "user_index": tf.constant([4]),
        "history": tf.constant(tiny_world.sequences().latest([3])),
        "item_index": tf.constant([9]),
    }
    found = engine.rank_pairs(tf.constant(["u3"]), tf.constant(["i8"]))
    np.testing.assert_allclose(found.numpy(), ranking(inputs).numpy(), atol=1e-6)


def test_similar_items_leave_the_item_itself_out(engine):
    embeddings = np.zeros((31, 10), np.float32)
    # The last numbers are popularity and trend, which have no say in what is alike.
    embeddings[:, 8:] = np.arange(31)[:, None]
    angles = np.deg2rad(np.arange(31) * 3.0)
    embeddings[:, 0], embeddings[:, 1] = np.cos(angles), np.sin(angles)
    engine.item_embeddings.assign(embeddings)
    # Three degrees between neighbours: i10 is as near to i9 as to i11, the former first; at the end there is one side.
    names, scores = asked(engine.similar_items, ["i10", "i29"], 4)
    assert {*names[0][:2]} == {"i9", "i11"} and {*names[0][2:]} == {"i8", "i12"}
    assert names[1] == ["i28", "i27", "i26", "i25"]
    np.testing.assert_allclose(scores, np.cos(np.deg2rad([[3, 3, 6, 6], [3, 6, 9, 12]])), atol=1e-5)
    # Index 0, one step from i0, is no item.
    assert asked(engine.similar_items, ["i0"], 2)[0] == [["i1", "i2"]]
    everything, scores = asked(engine.similar_items, ["i10"], 31)
    assert "i10" not in everything[0] and len({*everything[0]} - {""}) == 29
    assert everything[0][29:] == ["", ""] and (scores[0, 29:] == NOTHING).all()


def test_an_unknown_item_has_no_neighbours(engine):
    names, scores = asked(engine.similar_items, ["nothing"], 3)
    assert names == [["", "", ""]] and (scores == NOTHING).all()


def test_embed_item_is_the_candidate_embedding_and_zeros_for_the_unknown(trained):
    engine, embeddings = trained
    found = engine.embed_item(tf.constant(["i4", "nothing"])).numpy()
    np.testing.assert_array_equal(found, [embeddings[5], np.zeros(10)])


def test_seen_can_be_more_than_the_history():
    # User 0 liked item 1 and disliked items 2 and 3: the history is item 1 alone, and none of the three comes back.
    liked = Sequences([0], [1], [5.0], users=tiny_world.USERS, length=tiny_world.HISTORY)
    touched = Sequences([0, 0, 0], [2, 1, 3], [4.0, 5.0, 6.0], users=tiny_world.USERS, length=tiny_world.HISTORY)
    tables = tiny_world.user_table(), tiny_world.item_table()
    engine = RecommendationEngine(tiny_world.two_tower(), None, *tables, liked, seen=touched)
    assert engine.histories.numpy()[1].tolist() == [0, 0, 0, 0, 2]
    names, _ = asked(engine.recommend, ["u0"], 30)
    assert {*names[0]} - {""} == {f"i{row}" for row in range(30) if row not in (1, 2, 3)}


def test_nobody_has_done_anything_yet():
    nothing = Sequences([], [], [], users=tiny_world.USERS, length=tiny_world.HISTORY)
    tables = tiny_world.user_table(), tiny_world.item_table()
    engine = RecommendationEngine(tiny_world.two_tower(), None, *tables, nothing, candidates=1000)
    names, _ = asked(engine.recommend, ["u0", "nobody"], 30)
    assert all(sorted(found) == sorted(f"i{row}" for row in range(30)) for found in names)


def recommended(engine, user, k, exclude=(), history=()) -> list[str]:
    names, _ = engine.recommend(
        tf.constant([user]), tf.constant(k), tf.constant([[*exclude]], tf.string), tf.constant([[*history]], tf.string)
    )
    return [name.decode() for name in names.numpy()[0] if name]


def test_what_a_request_excludes_is_not_returned(engine):
    best = best_unseen(3)
    assert recommended(engine, "u3", 3, exclude=[best[0], best[2], "nothing", ""]) == [best[1], best[3], best[4]]
    assert recommended(engine, "u3", 3, exclude=[""]) == recommended(engine, "u3", 3) == best[:3]
    everything = [f"i{row}" for row in range(30)]
    assert recommended(engine, "u3", 5, exclude=everything) == []
    # Item after item, so that the last place, which the first scores would reach, is empty too.
    assert recommended(engine, "nobody", 30, exclude=everything[:29]) == ["i29"]


def test_exclusions_hold_for_their_own_row_alone(engine):
    names, _ = engine.recommend(
        tf.constant(["nobody", "nobody"]), tf.constant(2), tf.constant([["i29", "i28"], ["i28", ""]])
    )
    assert names.numpy().tolist() == [[b"i27", b"i26"], [b"i29", b"i27"]]


def test_a_given_history_counts_as_seen_beside_what_was_seen(engine):
    best = best_unseen(3)
    assert recommended(engine, "u3", 2, history=[best[0], "", best[1]]) == best[2:4]
    assert recommended(engine, "nobody", 2, history=["i29", "nothing"]) == ["i28", "i27"]


def test_strangers_are_served_from_the_history_they_bring(trained):
    engine, _ = trained
    history = ["i1", "i5", "i9"]
    names, scores = engine.recommend(tf.constant(["nobody"]), tf.constant(5), None, tf.constant([history]))
    # The models' own answer for index 0 with that history.
    query = engine.retrieval.query_embeddings(np.zeros(1), np.array([[0, 0, 2, 6, 10]]))
    nearness = (query @ engine.item_embeddings.numpy().T)[0]
    nearness[[0, 2, 6, 10]] = -np.inf
    order = np.argsort(-nearness)[:5]
    assert names.numpy()[0].tolist() == [f"i{index - 1}".encode() for index in order]
    np.testing.assert_allclose(scores.numpy()[0], nearness[order], atol=1e-6)
    # Of a known user it takes the stored one's place, and an unknown item alone does not.
    stored = engine.recommend(tf.constant(["u3"]), tf.constant(5))
    kept = engine.recommend(tf.constant(["u3"]), tf.constant(5), None, tf.constant([["nothing"]]))
    np.testing.assert_array_equal(kept[1], stored[1])
    replaced = engine.recommend(tf.constant(["u3"]), tf.constant(5), None, tf.constant([history]))
    assert np.abs(replaced[1].numpy() - stored[1].numpy()).max() > 1e-4


def test_removed_items_are_returned_to_nobody_and_still_tell_a_taste():
    retrieval, removed = tiny_world.two_tower(), ["i29", "i4", "i1"]
    whole, engine = tiny_world.engine(retrieval), tiny_world.engine(retrieval, removed=removed)
    for function, ids in (("recommend", ["u3", "nobody"]), ("retrieve_ids", ["u3"]), ("similar_items", ["i4", "i5"])):
        names, _ = asked(getattr(whole, function), ids, 30)
        left, _ = asked(getattr(engine, function), ids, 30)
        kept = [[name for name in row if name and name not in removed] for row in names]
        assert [[name for name in row if name] for row in left] == kept, function
    history = tf.constant([["i1", "i4"]])
    answers = [it.recommend(tf.constant(["nobody"]), tf.constant(5), None, history) for it in (whole, engine)]
    assert set(answers[1][0].numpy()[0]) <= {f"i{row}".encode() for row in range(30)} - {b"i29", b"i4", b"i1"}
    np.testing.assert_array_equal(engine.histories, whole.histories)


def test_grouped_pairs_score_as_single_ones():
    engine = tiny_world.engine(ranking=tiny_world.ranker())
    grouped = engine.rank_pairs(tf.constant(["u3", "nobody"]), tf.constant([["i2", "i8", ""], ["i2", "", "nothing"]]))
    single = engine.rank_pairs(
        tf.constant(["u3", "u3", "nobody", "nobody"]), tf.constant(["i2", "i8", "i2", "nothing"])
    )
    single = single.numpy()
    expected = [[single[0], single[1], NOTHING], [single[2], NOTHING, single[3]]]
    np.testing.assert_allclose(grouped, expected, rtol=1e-6)
    assert engine.rank_pairs(tf.constant(["u3"]), tf.zeros([1, 0], tf.string)).shape == (1, 0)
    assert engine.rank_pairs(tf.zeros([0], tf.string), tf.zeros([0], tf.string)).shape == (0,)


def test_the_blocks_of_a_large_catalogue_change_nothing(monkeypatch):
    retrieval = tiny_world.remembering_two_tower(29)
    engine = tiny_world.engine(retrieval, tiny_world.ranker(), candidates=6)
    users, k = tf.constant([f"u{row}" for row in range(7)]), tf.constant(4)
    weights = tf.constant([["text"]] * 7), tf.constant([[2.0]] * 7)
    calls = (
        lambda: engine.recommend(users, k, tf.constant([["i29"]] * 7)),
        lambda: engine.recommend_weighted(users, k, *weights),
        lambda: engine.similar_items(tf.constant(["i1", "i2", "nothing", "i4", "i5"]), k),
    )
    whole = [call() for call in calls]
    # Eleven items at a time for a batch of seven, and fifteen for one of five.
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 77)
    for call, expected in zip(calls, whole, strict=True):
        names, scores = call()
        assert names.numpy().tolist() == expected[0].numpy().tolist()
        np.testing.assert_allclose(scores, expected[1], rtol=1e-6)


def test_the_context_reaches_both_models():
    engine = context_world.engine()
    ask = {"user_id": tf.constant(["u3"]), "k": tf.constant(30)}
    empty = {"device": tf.constant([""]), "timestamp": tf.zeros([1, 0], tf.int64)}
    silent, plain = engine.recommend(**ask, context=empty), engine.recommend(**ask)
    np.testing.assert_allclose(silent[1], plain[1], rtol=1e-6)
    names, scores = engine.recommend(**ask, context={**empty, "device": tf.constant(["phone"])})
    # By the models themselves: phone is the first of the vocabulary, of as many phones as televisions.
    told = {
        "categorical": {"device": np.array([1], np.int32), "hour_of_day": np.zeros(1, np.int32)},
        "multi_categorical": {},
        "numbers": {},
    }
    history = tiny_world.sequences().latest([3])
    assert engine.ranking.context is not None
    items = np.array([[int(name[1:]) + 1 for name in names.numpy()[0] if name]], np.int32)
    expected = engine.ranking(
        {
            "user_index": tf.constant([4]),
            "history": tf.constant(history),
            "item_index": tf.constant(items),
            "context": tf.nest.map_structure(tf.constant, told),
        }
    )
    np.testing.assert_allclose(scores.numpy()[0, : items.shape[1]], expected.numpy()[0], atol=1e-5)
    assert np.abs(scores.numpy() - plain[1].numpy())[:, :24].max() > 1e-4
    query = engine._query(engine.asked(tf.constant([4]), context=tf.nest.map_structure(tf.constant, told)))
    assert np.abs(query.numpy() - engine.embed_user(tf.constant(["u3"])).numpy()).max() > 1e-4
