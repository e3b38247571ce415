"""Modality weights and explanations of the chain, against the models with a modality left out."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.recommend.engine import NOTHING, RecommendationEngine
from mmrec_tf.recommend.item_rows import PlainRows
from mmrec_tf.schema import Schema
from tests import tiny_world

USERS = np.array(["u3", "u0", "nobody"])
SIMILARITY_WEIGHT = 2.0


@pytest.fixture(scope="module")
def chains():
    """Untrained chains by name, in which every item is a candidate, so that lists show every score."""
    tf.keras.utils.set_random_seed(1)
    retrieval, ranking = tiny_world.two_tower(), tiny_world.ranker()
    ranking.similarity_weight.assign(SIMILARITY_WEIGHT)
    return {
        "retrieval": tiny_world.engine(retrieval),
        "with ranker": tiny_world.engine(retrieval, ranking, candidates=tiny_world.ITEMS),
    }


@pytest.fixture(params=["retrieval", "with ranker"])
def engine(request, chains):
    return chains[request.param]


def scores_of_all_items(engine, without=(), without_ids=False) -> np.ndarray:
    """`[users, items]` scores by NumPy from what the models say with something left out."""
    index = engine.user_index(tf.constant(USERS)).numpy()
    histories = engine.histories.numpy()[index]
    queries = engine.retrieval.query_embeddings(index, histories)
    similarities = queries @ engine.retrieval.candidate_embeddings(without=without, without_ids=without_ids)[1:].T
    if engine.ranking is None:
        return similarities
    inputs = {
        "user_index": tf.constant(index),
        "history": tf.constant(histories),
        "item_index": tf.constant(np.tile(np.arange(1, 31, dtype=np.int32), (len(USERS), 1))),
    }
    ranked = engine.ranking(inputs, without=dict.fromkeys(without, True), without_ids=without_ids).numpy()
    return (ranked + SIMILARITY_WEIGHT * similarities) / (1 + SIMILARITY_WEIGHT)


def weighted_scores(engine, *rows: dict) -> np.ndarray:
    """`[users, items]` scores from the list of all 30 places, one dict of weights a user; seen items are NaN."""
    names = [[*row, *[""] * (2 - len(row))] for row in rows]
    weights = [[*row.values(), *[1.0] * (2 - len(row))] for row in rows]
    items, scores = engine.recommend_weighted(
        tf.constant(USERS), tf.constant(30), tf.constant(names), tf.constant(weights, tf.float32)
    )
    assert (np.diff(scores.numpy(), axis=1) <= 0).all()
    by_item = np.full((len(USERS), tiny_world.ITEMS), np.nan)
    for row, (found, values) in enumerate(zip(items.numpy(), scores.numpy())):
        for name, value in zip(found, values):
            if name:
                by_item[row, int(name[1:])] = value
    users, seen, _ = tiny_world.interactions()
    for row, user in enumerate((3, 0)):
        assert {*np.flatnonzero(np.isnan(by_item[row]))} == {*seen[users == user]}
    return by_item


def assert_scores(found, expected):
    np.testing.assert_allclose(found, np.where(np.isnan(found), np.nan, expected), atol=2e-5)


def test_weight_0_is_the_model_without_the_modality(engine):
    for name in ("text", "image"):
        without = scores_of_all_items(engine, without=[name])
        assert np.abs(without - scores_of_all_items(engine)).max() > 0.01
        assert_scores(weighted_scores(engine, *[{name: 0.0}] * 3), without)


def test_weight_1_is_the_model_as_trained(engine):
    plain = engine.recommend(tf.constant(USERS), tf.constant(30))
    weights = tf.constant([["text", "image"], ["", "image"], ["", ""]]), tf.ones([3, 2])
    weighted = engine.recommend_weighted(tf.constant(USERS), tf.constant(30), *weights)
    assert weighted[0].numpy().tolist() == plain[0].numpy().tolist()
    np.testing.assert_allclose(weighted[1], plain[1], rtol=1e-6)


def test_every_row_has_its_own_weights_and_scores_are_linear_in_them(engine):
    plain = scores_of_all_items(engine)
    text = plain - scores_of_all_items(engine, without=["text"])
    image = plain - scores_of_all_items(engine, without=["image"])
    found = weighted_scores(engine, {"text": 2.0}, {"image": 0.25}, {"image": 3.0, "text": 0.5})
    # (w - 1) times what leaving out takes away: 2 counts the text once more, 0.25 takes three quarters of the picture.
    expected = [plain[0] + text[0], plain[1] - 0.75 * image[1], plain[2] + 2 * image[2] - 0.5 * text[2]]
    assert_scores(found, np.array(expected))


def test_an_item_without_modalities_keeps_its_score(engine):
    item = tiny_world.WITHOUT_MODALITIES
    found = weighted_scores(engine, {"text": 0.0}, {"image": 9.0}, {"image": 1000.0, "text": 1000.0})[:, item]
    assert_scores(found, scores_of_all_items(engine)[:, item])


def test_weights_by_hand(chains, monkeypatch):
    # Every query is (1, 0, ...), so that only the first number of an embedding counts. Unweighted, i29 is nearest; the
    # text takes 0.1 a row off, and the picture gives i5 one more.
    engine = chains["retrieval"]
    embeddings, shares = np.zeros((31, 10), np.float32), np.zeros((31, 20), np.float32)
    embeddings[1:, 0] = np.arange(30) / 20
    shares[6, 0] = 1.0
    shares[1:, 10] = -0.1 * np.arange(30)
    monkeypatch.setattr(engine, "_query", lambda asked: tf.one_hot(tf.zeros_like(asked.users), 10))
    monkeypatch.setattr(engine.search, "rows", PlainRows(tf.Variable(embeddings)))
    monkeypatch.setitem(vars(engine), "modality_shares", tf.Variable(shares))
    names, scores = engine.recommend_weighted(
        tf.constant(["nobody"] * 3),
        tf.constant(2),
        tf.constant([["text"], ["image"], [""]]),
        tf.constant([[2.0], [3.0], [1.0]]),
    )
    # text twice: r/20 - r/10, best at r = 0; picture three times: i5 has 5/20 + 2.
    assert names.numpy().tolist() == [[b"i0", b"i1"], [b"i5", b"i29"], [b"i29", b"i28"]]
    np.testing.assert_allclose(scores, [[0.0, -0.05], [2.25, 1.45], [1.45, 1.4]], atol=1e-6)


def products_with_items(graph) -> list:
    """Matrix products outside of the towers, loops included, whose second factor is transposed as a table's is."""
    content = graph.as_graph_def()
    nodes = [*content.node, *(node for function in content.library.function for node in function.node_def)]
    products = [node for node in nodes if node.op == "MatMul" and node.attr["transpose_b"].b]
    return [node for node in products if "tower" not in node.name]


def test_requests_without_weights_neither_compute_nor_hold_anything_for_them():
    engine = tiny_world.engine()
    signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)]
    graph = tf.function(engine.recommend, input_signature=signature).get_concrete_function().graph
    assert "modality_shares" not in vars(engine)
    # The one product of queries and items.
    assert len(products_with_items(graph)) == 1
    names = tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None, None], tf.float32)
    weighted = tf.function(engine.recommend_weighted, input_signature=[*signature, *names]).get_concrete_function()
    # Two modalities of 8 numbers, a popularity and a trend, for 30 items and index 0.
    assert vars(engine)["modality_shares"].shape == (31, 20)
    assert len(products_with_items(weighted.graph)) == 2


def test_explanations_say_what_leaving_out_takes_away(engine):
    plain, rows = scores_of_all_items(engine), np.arange(len(USERS))
    # All three have a text, a picture and a known id.
    items = np.array([5, 0, 4])
    score, contribution, part = engine.explain(tf.constant(USERS), tf.constant([f"i{row}" for row in items]))
    assert part.numpy().tolist() == [[b"image", b"text", b"id"]] * 3
    np.testing.assert_allclose(score, plain[rows, items], atol=1e-5)
    for column, left_out in enumerate(({"without": ["image"]}, {"without": ["text"]}, {"without_ids": True})):
        lost = (plain - scores_of_all_items(engine, **left_out))[rows, items]
        np.testing.assert_allclose(contribution[:, column], lost, atol=1e-5)
        assert np.abs(lost[:2]).min() > 1e-6
    # The third is a stranger, to whom the towers are equally near whatever an item has.
    if engine.ranking is None:
        np.testing.assert_allclose(contribution[2, :2], 0.0, atol=1e-6)
    # What is left is the score that a list without the part orders by.
    listed = weighted_scores(engine, {}, {}, {"text": 0.0})[2, 4]
    assert listed == pytest.approx(float(score[2] - contribution[2, 1]), abs=2e-5)


def test_what_an_item_lacks_contributes_exactly_nothing(engine):
    # Item 2 has no picture, 3 no text, 17 neither, and 28 is new.
    _, contribution, _ = engine.explain(tf.constant(["u3"] * 4), tf.constant(["i2", "i3", "i17", "i28"]))
    assert (contribution.numpy() == 0).tolist() == [
        [True, False, False],
        [False, True, False],
        [True, True, False],
        [False, False, True],
    ]


def test_an_unknown_item_has_the_lowest_score_and_no_contributions(engine):
    score, contribution, part = engine.explain(tf.constant(["u3", "u3"]), tf.constant(["nothing", "i5"]))
    assert score.numpy()[0] == NOTHING < score.numpy()[1]
    assert contribution.numpy()[0].tolist() == [0.0, 0.0, 0.0] and part.shape == (2, 3)


def test_other_vectors_change_the_score_of_the_item_alone(engine):
    users, items = engine.user_index(tf.constant(USERS)), engine.item_index(tf.constant(["i5", "i0", "i3"]))
    own = {"text": tf.gather(engine.retrieval.items.lookup.tables["vectors"]["text"], items)}
    plain = engine.score(users, items).numpy()
    np.testing.assert_allclose(engine.score(users, items, vectors=own).numpy(), plain, atol=1e-6)
    changed = engine.score(users, items, vectors={"text": -own["text"]}).numpy()
    # Item 3 has no text that could change.
    assert (np.abs(changed - plain) > 1e-4).tolist() == [True, True, False]


def test_a_catalogue_without_modalities():
    schema = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={"timestamp": "timestamp"})
    tables = (
        FeatureTable.build(tiny_world.users_frame(), schema.user, np.arange(tiny_world.ACTIVE_USERS)),
        FeatureTable.build(tiny_world.items_frame(), schema.item, np.unique(tiny_world.interactions()[1])),
    )
    config = tiny_world.config(schema=schema.model_dump())
    retrieval, ranking = build_two_tower(config, *tables), build_ranker(config, *tables)
    engine = RecommendationEngine(retrieval, ranking, *tables, tiny_world.sequences())
    assert engine.modalities == ()
    users, k = tf.constant(USERS), tf.constant(5)
    plain = engine.recommend(users, k)
    none = engine.recommend_weighted(users, k, tf.zeros([3, 0], tf.string), tf.zeros([3, 0]))
    assert none[0].numpy().tolist() == plain[0].numpy().tolist()
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown modality: text"):
        engine.recommend_weighted(users, k, tf.constant([["text"]] * 3), tf.ones([3, 1]))
    # An item here is its id alone: without it, it is any new item, such as i28.
    score, contribution, part = engine.explain(users, tf.constant(["i5"] * 3))
    assert part.numpy().tolist() == [[b"id"]] * 3
    new, of_new, _ = engine.explain(users, tf.constant(["i28"] * 3))
    np.testing.assert_allclose(score - contribution[:, 0], new, atol=1e-6)
    assert (contribution.numpy() != 0).all() and (of_new.numpy() == 0).all()
