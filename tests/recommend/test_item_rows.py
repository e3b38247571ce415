"""Embeddings in fewer bits: how far they are from the numbers they stand for, and what a search finds by them."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend.exact_search import ExactSearch, Wishes
from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.recommend.item_rows import PlainRows, QuantizedRows, item_rows, quantized

ITEMS, DIM = 3000, 64


@pytest.fixture(scope="module")
def embeddings():
    """Places of different lengths, with a popularity that decides more than these and a trend that decides little."""
    random = np.random.default_rng(4)
    place = random.normal(size=(ITEMS, DIM)) / 8 * random.uniform(0.1, 3.0, (ITEMS, 1))
    behind = random.normal(size=(ITEMS, 2)) * [3.0, 0.01]
    return np.concatenate([place, behind], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    random = np.random.default_rng(5)
    place = random.normal(size=(40, DIM)) / 8
    return np.concatenate([place, np.ones((40, 1)), random.uniform(0, 2, (40, 1))], axis=1).astype(np.float32)


def test_whole_numbers_by_hand():
    # 254 / 127 = 2 and 1.27 / 127 = 0.01; halves are rounded to even numbers, and a row of zeros has no scale.
    codes, scales = quantized(np.array([[254.0, -3.9, 5.0], [-1.27, 0.004, 1.0], [0.0, 0.0, 0.0]]), np.int8, axis=1)
    assert codes.tolist() == [[127, -2, 2], [-127, 0, 100], [0, 0, 0]] and codes.dtype == np.int8
    np.testing.assert_allclose(scales, [2.0, 0.01, 0.0], rtol=1e-6)
    codes, scales = quantized(np.array([[32767.0, 0.5], [-16384.0, 1.0]]), np.int16, axis=0)
    np.testing.assert_allclose(scales, [1.0, 1.0 / 32767], rtol=1e-6)
    # 0.5 / (1 / 32767) = 16383.5
    assert codes[:, 0].tolist() == [32767, -16384] and codes[0, 1] in (16383, 16384) and codes[1, 1] == 32767


def test_no_number_moves_by_more_than_half_a_scale(embeddings):
    rows = QuantizedRows(embeddings, "int8").of(tf.range(ITEMS)).numpy()
    wrong = np.abs(rows - embeddings)
    row_scale = np.abs(embeddings[:, :DIM]).max(axis=1, keepdims=True) / 127
    column_scale = np.abs(embeddings[:, DIM:]).max(axis=0) / 32767
    # Beside what the product itself is rounded to.
    digits = np.abs(embeddings) * 2.0**-22
    assert (wrong[:, :DIM] <= row_scale / 2 + digits[:, :DIM]).all()
    assert (wrong[:, DIM:] <= column_scale / 2 + digits[:, DIM:]).all()
    # Nor is it better than rounding can be: the mean of what is cut off evenly is a quarter of the scale.
    assert 0.2 < (wrong[:, :DIM] / row_scale).mean() < 0.3


def test_float16_is_numpys(embeddings):
    rows = QuantizedRows(embeddings, "float16").of(tf.constant([5, 0])).numpy()
    np.testing.assert_array_equal(rows[:, :DIM], embeddings[[5, 0], :DIM].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("table", "bytes_each"), [("float32", 4 * (DIM + 2)), ("float16", 2 * DIM + 4), ("int8", DIM + 8)]
)
def test_size(embeddings, table, bytes_each):
    # In int8: a byte for each number of the place, four for the row's scale, two each for popularity and trend.
    shared = 0 if table == "float32" else 8
    assert len(item_rows(embeddings, table).content) == ITEMS * bytes_each + shared


@pytest.mark.parametrize("table", ["float32", "float16", "int8"])
def test_scores_are_those_of_the_rows(embeddings, queries, table):
    rows = item_rows(embeddings, table)
    kept = rows.of(tf.range(ITEMS)).numpy()
    np.testing.assert_allclose(rows.scores(queries, 64, 200), queries @ kept[64:200].T, rtol=1e-4, atol=1e-4)
    blocks = rows.by_blocks(50)(tf.constant(queries[3]), tf.constant([7, 0]))
    wanted = np.concatenate([kept[350:400], kept[:50]]) @ queries[3]
    np.testing.assert_allclose(blocks, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("table", "least"), [("float16", 0.995), ("int8", 0.96)])
def test_lists_stay_nearly_the_same(embeddings, queries, table, least):
    exact, small = queries @ embeddings.T, queries @ QuantizedRows(embeddings, table).of(tf.range(ITEMS)).numpy().T
    top = [np.argsort(-scores, axis=1)[:, :20] for scores in (exact, small)]
    assert np.mean([len(set(one) & set(other)) / 20 for one, other in zip(*top)]) >= least
    if table == "int8":
        most = np.abs(queries[:, :DIM]).sum(axis=1)[:, None] * np.abs(embeddings[:, :DIM]).max(axis=1) / 254
        assert (np.abs(exact - small) <= most + 1e-3).all()


@pytest.mark.parametrize("table", ["float16", "int8"])
def test_a_search_goes_block_by_block(embeddings, queries, table):
    rows = item_rows(embeddings, table)
    offered = tf.Variable(np.arange(ITEMS) % 7 > 0)
    wishes = Wishes(tf.constant([0, 1]), tf.constant([11, 12]), tf.constant([[20]] * 40), tf.constant([[9.0]] * 40))
    search = ExactSearch(rows, offered)
    scores = queries @ rows.of(tf.range(ITEMS)).numpy().T
    scores[:, 20] += 9.0
    scores[:, ::7] = -np.inf
    scores[[0, 1], [11, 12]] = -np.inf
    for most in (rows.most_at_once, 512):
        rows.most_at_once = most
        found, values = search(tf.constant(queries), tf.constant(30), wishes)
        np.testing.assert_allclose(values, -np.sort(-scores, axis=1)[:, :30], rtol=1e-4, atol=1e-4)
        picked = np.take_along_axis(scores, found.numpy(), axis=1)
        np.testing.assert_allclose(picked, values, rtol=1e-4, atol=1e-4)
    assert not (found.numpy() % 7 == 0).any()


def test_no_more_than_a_block_is_ever_in_float32(embeddings):
    # 2 ** 20 numbers of four bytes are 4 MB, whatever the size of the catalogue.
    assert QuantizedRows(embeddings, "int8").most_at_once == 2**20 // (DIM + 2)
    assert PlainRows(tf.Variable(embeddings)).most_at_once is None


def test_an_inverted_file_of_int8_finds_what_its_rows_say(embeddings, queries):
    offered = np.arange(ITEMS) > 0
    index = InvertedFile(embeddings, offered, embeddings[:, DIM], head=256, depth=20, table="int8")
    index.probes.assign(index.blocks)
    wishes = Wishes(tf.constant([0]), tf.constant([0]))
    found, scores = index.probed(tf.constant(queries), tf.constant(20), wishes, index.probes)
    kept = index.embeddings_of(tf.range(ITEMS)).numpy()
    assert (np.abs(kept - embeddings)[1:, :DIM] <= np.abs(embeddings[1:, :DIM]).max(axis=1, keepdims=True) / 253).all()
    wanted = queries @ kept[1:].T
    np.testing.assert_allclose(scores, -np.sort(-wanted, axis=1)[:, :20], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(wanted, found.numpy() - 1, axis=1), scores, rtol=1e-4, atol=1e-4)
    assert index.exact.rows.codes.dtype == tf.int8


@pytest.mark.parametrize(
    ("values", "table", "message"),
    [
        ([[1.0, np.nan, 0.0, 0.0]], "int8", "1 of 2 numbers .* are not finite"),
        ([[1.0, 2.0, np.inf, 0.0]], "float16", "1 of 2 numbers .* are not finite"),
        ([[1.0, 1e5, 0.0, 0.0]], "float16", "beyond 65504 do not fit float16. Use the table int8"),
        ([[1.0, 2.0, 0.0, 0.0]], "int4", "table is 'int4'. Allowed: float32, float16, int8"),
    ],
)
def test_what_cannot_be_kept(values, table, message):
    with pytest.raises(ServingError, match=message):
        item_rows(np.array(values, np.float32), table)
