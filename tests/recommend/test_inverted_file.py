"""The inverted file beside an exhaustive search by NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.recommend.exact_search import ExactSearch, Wishes
from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.recommend.search import NOTHING

ITEMS, DIM, BATCH = 301, 6, 3


def catalogue(items=ITEMS, seed=0) -> np.ndarray:
    """Embeddings of a world of twelve tastes; row 0, no item, would be nearest to every query."""
    random = np.random.default_rng(seed)
    tastes = random.normal(size=[12, DIM])
    embeddings = tastes[random.integers(12, size=items)] + 0.3 * random.normal(size=[items, DIM])
    embeddings[0] = 100.0
    return embeddings.astype(np.float32)


def inverted_file(embeddings, is_offered=None, probes=None, **options) -> InvertedFile:
    """Blocks of four behind a head of eight items, all of them looked at unless `probes` says otherwise."""
    is_offered = np.ones(len(embeddings), bool) if is_offered is None else is_offered
    options = {"head": 8, "width": 4, "depth": 10, **options}
    index = InvertedFile(embeddings, is_offered, np.linalg.norm(embeddings, axis=1), **options)
    index.probes.assign(max(index.blocks, 1) if probes is None else probes)
    return index


def queries(batch=BATCH, seed=5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=[batch, DIM]).astype(np.float32)


def wishes(hidden=(), added=None) -> Wishes:
    """From (row, item) pairs to hide, and per row a list of (item, value) of equal length."""
    rows, items = np.array(hidden, np.int32).reshape(-1, 2).T
    if added is None:
        return Wishes(tf.constant(rows), tf.constant(items))
    pairs = np.array(added, np.float64)
    raised = tf.constant(pairs[:, :, 0].astype(np.int32)), tf.constant(pairs[:, :, 1].astype(np.float32))
    return Wishes(tf.constant(rows), tf.constant(items), *raised)


def exhaustive(embeddings, given, k, hidden=(), added=None, is_offered=None):
    """Items and scores of the best k of each query, by sorting all scores."""
    scores = given.astype(np.float64) @ embeddings.T.astype(np.float64)
    for row, pairs in enumerate(added or ()):
        for item, value in pairs:
            scores[row, int(item)] += value
    if is_offered is not None:
        scores[:, ~is_offered] = -np.inf
    for row, item in hidden:
        scores[row, item] = -np.inf
    scores[:, 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    order, best = np.where(np.isinf(best), 0, order), np.where(np.isinf(best), NOTHING, best)
    missing = [(0, 0), (0, k - order.shape[1])]
    return np.pad(order, missing), np.pad(best, missing, constant_values=NOTHING)


def assert_lists(found, expected):
    items, scores = (value.numpy() for value in found)
    assert items.dtype == np.int32 and scores.dtype == np.float32
    assert items.tolist() == expected[0].tolist()
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5, atol=1e-5)


HIDDEN = [(0, 5), (0, 5), (1, 0), (2, 17), (2, 300)]
# Zeros fill up; an item that is named twice is raised twice; one is hidden as well.
ADDED = [[(9, 2.0), (9, 3.0), (0, 0.0)], [(0, 9.0), (44, 50.0), (200, 0.25)], [(17, 90.0), (18, 40.0), (3, 0.0)]]


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize(("hidden", "added"), [((), None), (HIDDEN, None), (HIDDEN, ADDED)])
def test_with_every_block_looked_at_nothing_is_missed(batch, hidden, added):
    embeddings, given = catalogue(), queries()[:batch]
    is_offered = np.arange(ITEMS) % 7 != 3
    hidden = [pair for pair in hidden if pair[0] < batch]
    added = None if added is None else added[:batch]
    index = inverted_file(embeddings, is_offered)
    expected = exhaustive(embeddings, given, 10, hidden, added, is_offered)
    assert index.blocks > 60
    told = wishes(hidden, added)
    assert_lists(index.probed(tf.constant(given), tf.constant(10), told, tf.constant(index.blocks)), expected)
    assert_lists(index(tf.constant(given), tf.constant(10), told), expected)
    assert_lists(index.everything(tf.constant(given), tf.constant(10), told), expected)


@pytest.mark.parametrize("probes", [1, 3])
def test_what_is_found_is_the_best_of_the_head_and_of_the_nearest_blocks(probes):
    embeddings, given = catalogue(), queries()
    index = inverted_file(embeddings, probes=probes)
    blocks = index.order.reshape(-1, 4)
    assert sorted(index.order[index.order > 0]) == list(range(1, ITEMS))
    # The head: the eight longest, of all but row 0.
    longest = 1 + np.argsort(-np.linalg.norm(embeddings[1:], axis=1))[:8]
    assert sorted(blocks[:2].ravel()) == sorted(longest)
    looked_at = np.zeros([BATCH, ITEMS], bool)
    for row, query in enumerate(given):
        nearness = [(embeddings[block[block > 0]] @ query).mean() for block in blocks[2:]]
        near = blocks[2:][np.argsort(nearness)[::-1][:probes]]
        looked_at[row, [*blocks[:2].ravel(), *near.ravel()]] = True
    unseen = [(row, item) for row in range(BATCH) for item in np.flatnonzero(~looked_at[row])]
    expected = exhaustive(embeddings, given, 5, unseen)
    assert (expected[0] > 0).all()
    assert_lists(index(tf.constant(given), tf.constant(5), wishes()), expected)


def test_hidden_items_leave_their_places_to_others():
    embeddings, given = catalogue(), queries()
    index = inverted_file(embeddings, probes=2)
    before = index(tf.constant(given), tf.constant(10), wishes())[0].numpy()
    hidden = [(row, item) for row in range(BATCH) for item in before[row, ::2]]
    items, scores = index(tf.constant(given), tf.constant(10), wishes(hidden))
    for row in range(BATCH):
        assert not set(items[row].numpy()) & set(before[row, ::2]) and set(before[row, 1::2]) <= set(items[row].numpy())
        assert len(set(items[row].numpy())) == 10
    assert (scores.numpy() > NOTHING).all()


def test_lists_that_the_blocks_cannot_fill_are_searched_exactly():
    embeddings, given = catalogue(), queries()
    index = inverted_file(embeddings, probes=2)
    # The head and two blocks are sixteen items. Of the second request's, all but nine are hidden.
    looked_at = index.probed(tf.constant(given), tf.constant(16), wishes(), tf.constant(2))[0].numpy()
    hidden = [(1, item) for item in looked_at[1, 9:] if item]
    left = index.probed(tf.constant(given), tf.constant(10), wishes(hidden), tf.constant(2))
    assert left[0].numpy()[1, 9] == 0 and left[1].numpy()[1, 9] == NOTHING
    assert_lists(index(tf.constant(given), tf.constant(10), wishes(hidden)), exhaustive(embeddings, given, 10, hidden))


def test_raised_items_are_found_wherever_they_lie():
    embeddings, given = catalogue(), queries()
    index = inverted_file(embeddings, probes=1)
    # The items farthest from each query, which one block does not hold.
    farthest = np.argsort(embeddings[1:] @ given.T, axis=0)[:3].T + 1
    added = [[(item, 200.0 + place) for place, item in enumerate(row)] for row in farthest]
    hidden = [(0, farthest[0, 2]), (2, farthest[2, 0])]
    items, scores = (value.numpy() for value in index(tf.constant(given), tf.constant(6), wishes(hidden, added)))
    expected = exhaustive(embeddings, given, 3, hidden, added)
    for row, count in enumerate((2, 3, 2)):
        assert items[row, :count].tolist() == expected[0][row, :count].tolist()
        np.testing.assert_allclose(scores[row, :count], expected[1][row, :count], rtol=1e-5)
        assert len(set(items[row])) == 6
    # What is not offered is not raised either.
    is_offered = np.ones(ITEMS, bool)
    is_offered[farthest[1, 2]] = False
    index = inverted_file(embeddings, is_offered, probes=1)
    assert index(tf.constant(given), tf.constant(6), wishes(hidden, added))[0].numpy()[1, 0] == farthest[1, 1]


def test_longer_lists_look_at_more_blocks():
    embeddings, given = catalogue(1201), queries()
    index = inverted_file(embeddings, probes=7, depth=10)
    # Thirty are three times ten: 21 blocks, where the eighth of all is 37 or so.
    assert index.most_probes > 21
    wanted = index.probed(tf.constant(given), tf.constant(30), wishes(), tf.constant(21))
    assert_lists(index(tf.constant(given), tf.constant(30), wishes()), [value.numpy() for value in wanted])
    # Far longer ones are searched exactly, beyond the catalogue too.
    for k in (400, 1200, 1300):
        items, scores = index(tf.constant(given), tf.constant(k), wishes())
        np.testing.assert_allclose(scores, exhaustive(embeddings, given, k)[1], rtol=1e-5, atol=1e-5)
        # Of hundreds, some have scores that float32 cannot tell apart.
        assert [len(set(row) - {0}) for row in items.numpy()] == [min(k, 1200)] * BATCH


@pytest.mark.parametrize("items", [1, 2, 9, 10, 13])
def test_catalogues_smaller_than_the_head_or_than_a_block(items):
    embeddings, given = catalogue(items), queries()
    index = inverted_file(embeddings)
    for k in (1, 5, 20):
        assert_lists(index(tf.constant(given), tf.constant(k), wishes()), exhaustive(embeddings, given, k))
    added = [[(items - 1, 3.0)]] * BATCH
    expected = exhaustive(embeddings, given, 5, [(1, 1)] if items > 1 else (), added)
    found = index(tf.constant(given), tf.constant(5), wishes([(1, 1)] if items > 1 else (), added))
    if items > 1:
        assert_lists(found, expected)
    else:
        assert (found[0].numpy() == 0).all() and (found[1].numpy() == NOTHING).all()


def test_equal_scores_keep_the_order_of_the_items():
    embeddings = np.ones([41, DIM], np.float32)
    index = inverted_file(embeddings)
    for search in (index, index.everything):
        items, _ = search(tf.ones([2, DIM]), tf.constant(40), wishes([(1, 7)]))
        assert items.numpy().tolist() == [list(range(1, 41)), [*range(1, 7), *range(8, 41), 0]]


def test_nobody_asks():
    index = inverted_file(catalogue())
    for probes in (1, index.blocks):
        index.probes.assign(probes)
        items, scores = index(tf.zeros([0, DIM]), tf.constant(4), wishes())
        assert items.shape == scores.shape == (0, 4)


def test_a_second_product_is_taken_of_every_item():
    embeddings, given = catalogue(), queries()
    second = np.random.default_rng(9).normal(size=[ITEMS, 2]).astype(np.float32)
    shares = np.random.default_rng(8).normal(size=[BATCH, 2]).astype(np.float32)
    index = inverted_file(embeddings, probes=1)
    told = wishes(HIDDEN)._replace(shares=tf.constant(shares))
    found = index(tf.constant(given), tf.constant(10), told, tf.Variable(second[index.order]))
    both = np.concatenate([embeddings, second], axis=1), np.concatenate([given, shares], axis=1)
    assert_lists(found, exhaustive(*both, 10, HIDDEN))
    exact = ExactSearch(tf.Variable(embeddings), tf.Variable(np.arange(ITEMS) > 0))
    assert exact.order.tolist() == list(range(ITEMS))
    assert_lists(exact(tf.constant(given), tf.constant(10), told, tf.Variable(second)), exhaustive(*both, 10, HIDDEN))


def test_embeddings_are_told_by_item():
    embeddings = catalogue()
    index = inverted_file(embeddings)
    np.testing.assert_array_equal(index.embeddings_of(tf.constant([4, 300, 1])), embeddings[[4, 300, 1]])


def test_the_table_is_not_gathered_from_the_variable_itself():
    # A variable that once was is copied whole whenever it is read: 264 MB a request, of a million items.
    embeddings = catalogue()
    index = inverted_file(embeddings, probes=1)
    exact = ExactSearch(tf.Variable(embeddings), tf.Variable(np.arange(ITEMS) > 0))
    specs = [tf.TensorSpec([None, DIM]), tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None, 2])]
    for search in (index, exact):

        @tf.function(input_signature=specs)
        def ask(given, added, values):
            lists = search(given, tf.constant(5), wishes()._replace(added=added, values=values))
            return lists, search.embeddings_of(lists[0][:, 0])

        graph = ask.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        gathered = {node.attr["dtype"].type for node in nodes if node.op == "ResourceGather"}
        # The indices, which are never read as a whole, may be.
        assert gathered <= {tf.int32.as_datatype_enum}
