"""Exploration in exported graphs: nothing where its strength is 0, and what it adds where it is not."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.explorer import Explorer
from mmrec_tf.serving import export
from mmrec_tf.serving.op_check import check_export
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world

USERS = tf.constant(["u3", "nobody", "u5"])
ITEMS = np.array([["i4", "i28", "i9", ""]] * 3)
SIMILARITY_WEIGHT, STRENGTH = 3.0, 2.0
KINDS = {
    "none": None,
    "zero ucb": ("ucb", 0.0),
    "zero draw": ("thompson", 0.0),
    "ucb": ("ucb", STRENGTH),
    "draw": ("thompson", STRENGTH),
}


@pytest.fixture(scope="module")
def engine():
    tf.keras.utils.set_random_seed(1)
    ranking = tiny_world.ranker()
    ranking.similarity_weight.assign(SIMILARITY_WEIGHT)
    return tiny_world.engine(ranking=ranking, candidates=tiny_world.ITEMS)


def explorer_of(engine, kind):
    if KINDS[kind] is None:
        return None
    dim = int(engine.item_embeddings.shape[1])
    random, explorer = np.random.default_rng(4), Explorer(dim, *KINDS[kind])
    seen = [random.normal(size=[50, dim]).astype(np.float32) for _ in range(2)]
    explorer.learn(*seen, np.full(50, 0.2, np.float32))
    return explorer


@pytest.fixture(scope="module")
def asked(engine):
    """A function that asks the graphs of one kind of exploration, traced as an export traces them."""
    graphs = {}
    for kind in KINDS:
        engine.explorer = explorer_of(engine, kind)
        models = model_signatures(engine, tiny_world.ITEMS, modality_weights=False)
        graphs[kind] = {
            ("recommend", "serving_default"): models["recommend"]["serving_default"],
            **{("ranking", name): function for name, function in models["ranking"].items()},
        }
        for function in graphs[kind].values():
            function.get_concrete_function()
    engine.explorer = None

    def ask(kind, model, signature, *inputs):
        return {name: value.numpy() for name, value in graphs[kind][model, signature](*inputs).items()}

    ask.graphs = graphs
    return ask


@pytest.mark.parametrize("kind", ["zero ucb", "zero draw"])
def test_without_strength_every_answer_is_that_of_the_plain_model_bit_for_bit(asked, kind):
    for call in (
        ("recommend", "serving_default", USERS),
        ("ranking", "rank", USERS, tf.constant(ITEMS)),
        ("ranking", "serving_default", USERS, tf.constant(ITEMS[:, 0])),
    ):
        plain, found = asked("none", *call), asked(kind, *call)
        for name, values in plain.items():
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("users", [0, 1, 3])
@pytest.mark.parametrize("kind", ["ucb", "draw"])
def test_to_rank_no_items_is_an_empty_answer(asked, kind, users):
    found = asked(kind, "ranking", "rank", USERS[:users], tf.zeros([users, 0], tf.string))
    assert {name: values.tolist() for name, values in found.items()} == {"score": [[]] * users, "order": [[]] * users}


def bounds_of(engine, item_ids):
    """strength sqrt(x^T A^-1 x) of pairs of users and items."""
    queries = engine.embed_user(USERS).numpy()[:, None]
    candidates = engine.item_embeddings.numpy()[engine.item_index(tf.constant(item_ids)).numpy()]
    features = np.concatenate([np.sqrt(queries.shape[2]) * queries * candidates, candidates], axis=2)
    inverse = np.linalg.inv(explorer_of(engine, "ucb").head.information.numpy())
    return STRENGTH * np.sqrt(np.einsum("abi,ij,abj->ab", features, inverse, features))


def test_the_bound_is_added_to_the_order_of_pairs_and_the_chance_stays(engine, asked):
    found, plain = (asked(kind, "ranking", "rank", USERS, tf.constant(ITEMS)) for kind in ("ucb", "none"))
    np.testing.assert_array_equal(found["score"], plain["score"])
    users, items = engine.user_index(USERS), engine.item_index(tf.constant(ITEMS[:, :3]))
    logits = engine.ranking({"user_index": users, "item_index": items, "history": tf.gather(engine.histories, users)})
    expected = logits.numpy() + bounds_of(engine, ITEMS[:, :3])
    np.testing.assert_allclose(found["order"][:, :3], expected, rtol=1e-4, atol=1e-5)
    # What only fills up stays behind everything.
    assert (found["order"][:, 3] == np.finfo(np.float32).min).all()
    single = asked("ucb", "ranking", "serving_default", USERS, tf.constant(ITEMS[:, 1]))
    np.testing.assert_allclose(single["order"], found["order"][:, 1], rtol=1e-5)


def test_lists_are_ordered_by_it(engine, asked):
    plain, found = (asked(kind, "recommend", "serving_default", USERS) for kind in ("none", "ucb"))
    for row in range(3):
        scores = dict(zip(plain["item_id"][row], plain["score"][row]))
        names = [name for name in found["item_id"][row] if name]
        assert set(names) == set(scores) - {b""} and len(names) > 20
        # The ranker's score counts one part of the blend, and so does what is added to it.
        bounds = bounds_of(engine, np.array([names] * 3))[row] / (1.0 + SIMILARITY_WEIGHT)
        expected = np.array([scores[name] for name in names]) + bounds
        np.testing.assert_allclose(found["score"][row][: len(names)], expected, rtol=1e-4, atol=1e-5)
        assert (np.diff(found["score"][row]) <= 0.0).all()
        assert bounds.min() > 0.0


def test_draws_differ_from_request_to_request_and_from_user_to_user(asked):
    pairs = USERS, tf.constant([["i4", "i9"]] * 3)
    first, second = (asked("draw", "ranking", "rank", *pairs) for _ in range(2))
    np.testing.assert_array_equal(first["score"], second["score"])
    assert not np.isclose(first["order"], second["order"]).any()
    plain = asked("zero draw", "ranking", "rank", *pairs)["order"]
    assert np.abs(np.diff(first["order"] - plain, axis=0)).min() > 1e-4


def test_who_explores_nothing_computes_nothing_for_it(asked):
    def ops(kind, key):
        graph = asked.graphs[kind][key].get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return {node.op for node in nodes}

    for key in asked.graphs["ucb"]:
        assert "MatrixTriangularSolve" in ops("ucb", key) and "MatrixTriangularSolve" not in ops("none", key)
    assert "order" not in asked("none", "ranking", "rank", USERS, tf.constant(ITEMS))


def test_tensorflow_serving_runs_it(engine, tmp_path):
    engine.explorer = explorer_of(engine, "draw")
    try:
        version = export.export_ranking(engine, tmp_path)
    finally:
        engine.explorer = None
    (check,) = check_export(tmp_path)
    assert check.refusals == () and "StatelessRandomNormalV2" in check.ops
    rank = tf.saved_model.load(str(version), tags=["serve"]).signatures["rank"]
    first, second = (rank(user_id=USERS, item_ids=tf.constant(ITEMS))["order"].numpy()[:, :3] for _ in range(2))
    assert not np.isclose(first, second).any()
