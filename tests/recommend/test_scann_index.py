"""ScaNN's index beside an exhaustive search by NumPy."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend import index_choice
from mmrec_tf.recommend.exact_search import ExactSearch
from mmrec_tf.recommend.item_rows import item_rows
from mmrec_tf.recommend.scann_index import ScannIndex
from mmrec_tf.recommend.search import NOTHING
from tests import tiny_world
from tests.recommend.engines_alike import assert_alike
from tests.recommend.test_inverted_file import (
    ADDED,
    BATCH,
    DIM,
    HIDDEN,
    ITEMS,
    assert_lists,
    catalogue,
    exhaustive,
    queries,
    wishes,
)
from tests.scann_here import needs_scann


def scann_index(embeddings, is_offered=None, leaves=1, rescored=None, table="float32", **options) -> ScannIndex:
    """Behind a head of eight items; everything is looked at and scored unless `rescored` says otherwise."""
    is_offered = np.ones(len(embeddings), bool) if is_offered is None else is_offered
    is_offered = is_offered & (np.arange(len(embeddings)) > 0)
    exact = ExactSearch(item_rows(tf.Variable(embeddings), table), tf.Variable(is_offered))
    options = {"head": 8, "depth": 10, **options}
    index = ScannIndex(exact, embeddings, np.linalg.norm(embeddings, axis=1), leaves=leaves, **options)
    index.rescored.assign(len(embeddings) if rescored is None else rescored)
    index.probes.assign(index.most_probes)
    return index


@needs_scann
@pytest.mark.parametrize("leaves", [1, 5])
@pytest.mark.parametrize(("hidden", "added"), [((), None), (HIDDEN, None), (HIDDEN, ADDED)])
def test_with_everything_looked_at_nothing_is_missed(leaves, hidden, added):
    embeddings, given = catalogue(), queries()
    is_offered = np.arange(ITEMS) % 7 != 3
    index = scann_index(embeddings, is_offered, leaves)
    told, k = wishes(hidden, added), tf.constant(10)
    expected = exhaustive(embeddings, given, 10, hidden, added, is_offered)
    assert index.leaves == leaves
    assert_lists(index.probed(tf.constant(given), k, told, tf.constant(leaves)), expected)
    assert_lists(index(tf.constant(given), k, told), expected)
    # Longer than the catalogue: the exact branch.
    expected = exhaustive(embeddings, given, 400, hidden, added, is_offered)
    assert_lists(index(tf.constant(given), tf.constant(400), told), expected)


@needs_scann
def test_what_is_found_in_a_leaf_is_scored_exactly_and_fewer_leaves_find_less():
    embeddings, given = catalogue(), queries()
    index, best = scann_index(embeddings, leaves=12), exhaustive(embeddings, given, 10)[0]
    scores_of = given.astype(np.float64) @ embeddings.T.astype(np.float64)
    shares = []
    for probes in (1, 6, 12):
        items, scores = (
            value.numpy() for value in index.probed(tf.constant(given), tf.constant(10), wishes(), tf.constant(probes))
        )
        there = items > 0
        np.testing.assert_allclose(scores[there], np.take_along_axis(scores_of, items, axis=1)[there], rtol=1e-4)
        assert (scores[~there] == NOTHING).all() and (np.diff(scores) <= 0).all()
        assert all(len(set(row[row > 0])) == (row > 0).sum() for row in items)
        shares.append(np.mean([len(set(row) & set(wanted)) / 10 for row, wanted in zip(items, best)]))
    assert shares[0] < shares[1] <= shares[2] == 1.0


@needs_scann
def test_hidden_items_leave_their_places_to_others():
    embeddings, given = catalogue(items=2001), queries()
    index = scann_index(embeddings, leaves=1, rescored=60)
    first = index(tf.constant(given), tf.constant(50), wishes())[0].numpy()
    hidden = [(row, item) for row in range(BATCH) for item in first[row, :40]]
    found = index.probed(tf.constant(given), tf.constant(10), wishes(hidden), tf.constant(1))
    assert (found[1].numpy() > NOTHING).all()
    for row in range(BATCH):
        assert not set(found[0][row].numpy()) & set(first[row, :40])
    # 60 and the 40 that one row hides; for lists of 25, which are 2.5 times as long as 10, 150 and 40.
    assert [int(index._count(BATCH, tf.constant(k), wishes(hidden[:45]))) for k in (10, 25)] == [100, 190]


@needs_scann
def test_a_list_that_the_leaves_do_not_fill_is_searched_exactly():
    embeddings, given = catalogue(), queries()
    index = scann_index(embeddings, leaves=30, rescored=20)
    index.probes.assign(1)
    short = index.probed(tf.constant(given), tf.constant(28), wishes(), tf.constant(1))[1].numpy()
    assert (short[:, -1] == NOTHING).any()
    assert_lists(index(tf.constant(given), tf.constant(28), wishes()), exhaustive(embeddings, given, 28))


@needs_scann
def test_two_indexes_of_one_process_do_not_answer_for_each_other():
    given = queries()
    worlds = [catalogue(seed=seed) for seed in (0, 3)]
    indexes = [scann_index(embeddings) for embeddings in worlds]
    for index, embeddings in [*zip(indexes, worlds), *zip(indexes, worlds)]:
        found = index.probed(tf.constant(given), tf.constant(10), wishes(), tf.constant(1))
        assert_lists(found, exhaustive(embeddings, given, 10))


@needs_scann
@pytest.mark.parametrize("items", [1, 2, 9, 10, 12])
def test_few_items_or_none_beside_the_head(items):
    embeddings, given = catalogue(items), queries()
    index = scann_index(embeddings, leaves=3)
    assert index.leaves == (items > 9)
    assert_lists(index(tf.constant(given), tf.constant(4), wishes()), exhaustive(embeddings, given, 4))
    assert index(tf.zeros([0, DIM]), tf.constant(4), wishes())[0].shape == (0, 4)


@needs_scann
@pytest.mark.parametrize("table", ["int8", "float16"])
def test_the_table_in_fewer_bits_is_what_scores(table):
    embeddings, given = catalogue(), queries()
    index = scann_index(embeddings, table=table)
    items, scores = index(tf.constant(given), tf.constant(10), wishes())
    rows = index.exact.rows.of(tf.range(ITEMS)).numpy()
    np.testing.assert_allclose(scores, exhaustive(rows, given, 10)[1], rtol=1e-4)
    # ScaNN keeps codes of half a byte for two numbers, and no copy of the embeddings.
    assert max(np.prod(variable.shape.as_list() or [1]) for variable in index._state.values()) <= ITEMS * DIM / 2


@needs_scann
def test_codes_are_compiled_into_no_constant_and_leaves_are_chosen_by_size(monkeypatch):
    monkeypatch.setattr("mmrec_tf.recommend.scann_index.LEAVES_FROM", 200)
    # 292 items beside row 0 and the head: the root is 17.1.
    assert scann_index(catalogue(), leaves=None).leaves == 17
    monkeypatch.setattr("mmrec_tf.recommend.scann_index.LEAVES_FROM", 293)
    assert scann_index(catalogue(), leaves=None).leaves == 1


@pytest.fixture(scope="module")
def retrieval():
    return tiny_world.remembering_two_tower(29)


def small_head(engine) -> ScannIndex:
    """Over the items of an engine, behind a head of two."""
    embeddings = engine.item_embeddings.numpy()
    return ScannIndex(engine.search, embeddings, embeddings[:, -2:].sum(axis=1), head=2, depth=4, leaves=3)


@needs_scann
def test_an_engine_with_the_index_answers_as_one_without(retrieval, monkeypatch):
    monkeypatch.setattr(index_choice, "_built_scann", small_head)
    removed = ["i3", "i20"]
    plain = tiny_world.engine(retrieval, removed=removed, candidates=4)
    engine = tiny_world.engine(retrieval, removed=removed, candidates=4, index="scann", recall=1.0)
    assert isinstance(engine.search, ScannIndex) and not set(engine.search.item_of.numpy()) & {4, 21}
    assert_alike(engine, plain, removed)


@needs_scann
def test_the_recall_is_kept_by_as_little_as_does_it_or_the_shortfall_is_told(retrieval, monkeypatch):
    monkeypatch.setattr(index_choice, "_built_scann", small_head)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = tiny_world.engine(retrieval, candidates=4, index="scann", recall=0.5)
    assert int(engine.search.rescored) == 16 and int(engine.search.probes) == 1
    monkeypatch.setattr(index_choice, "_RESCORED", (1,))
    monkeypatch.setattr(index_choice, "surely", lambda shares: 0.25)
    with pytest.warns(UserWarning, match=r"ScaNN is sure to find only 0\.250 .* 1 of 1 leaves and 4 items are scored"):
        engine = tiny_world.engine(retrieval, candidates=4, index="scann", recall=0.9)
    assert isinstance(engine.search, ScannIndex)


def test_an_engine_says_what_is_missing(retrieval, monkeypatch):
    def missing():
        raise ServingError("The package scann is not installed.")

    monkeypatch.setattr("mmrec_tf.recommend.scann_index.scann_ops", missing)
    with pytest.raises(ServingError, match="scann is not installed"):
        tiny_world.engine(retrieval, index="scann")


def test_auto_is_never_scann(retrieval, monkeypatch):
    def built(engine):
        raise AssertionError("ScaNN was built")

    monkeypatch.setattr(index_choice, "EXACT_UP_TO", 10)
    monkeypatch.setattr(index_choice, "_built_scann", built)
    tiny_world.engine(retrieval, index="auto")
