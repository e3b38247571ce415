"""Losses summed block by block against the same losses over all rows at once, in value and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models import score_blocks
from mmrec_tf.models.row_sums import on_plain_cpu
from mmrec_tf.models.score_blocks import block_of, sum_in_blocks
from tests.tiny_world import calm_two_tower, retrieval_batch

RANDOM = np.random.default_rng(3)
QUERIES, ITEMS = RANDOM.normal(size=(11, 4)).astype(np.float32), RANDOM.normal(size=(6, 4)).astype(np.float32)
WEIGHTS = RANDOM.random(11).astype(np.float32)
SKIPPED = RANDOM.integers(0, 6, 11).astype(np.int32)


def losses(rows, items):
    scores = tf.matmul(rows["query"], items, transpose_b=True)
    counted = rows["skipped"][:, None] != tf.range(6)
    return tf.reduce_logsumexp(tf.where(counted, scores, -1e9), axis=1)


def expected() -> tuple[float, np.ndarray, np.ndarray]:
    """The sum and its gradients by hand: weights times softmax, through the product."""
    chances = np.where(SKIPPED[:, None] != np.arange(6), np.exp(QUERIES.astype(float) @ ITEMS.T), 0.0)
    value = WEIGHTS @ np.log(chances.sum(axis=1))
    chances *= (WEIGHTS / chances.sum(axis=1))[:, None]
    return value, chances @ ITEMS, chances.T @ QUERIES


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("way", ["eager", "graph", "plain CPU", "XLA"])
def test_value_and_gradients_whatever_the_block_and_the_cores(block, cores, way, monkeypatch):
    monkeypatch.setattr(score_blocks, "_cores", lambda: cores)

    def both():
        queries, items = tf.constant(QUERIES), tf.constant(ITEMS)
        with on_plain_cpu(way == "plain CPU"), tf.GradientTape() as tape:
            tape.watch([queries, items])
            rows = {"query": queries, "skipped": tf.constant(SKIPPED)}
            total = 2.0 * sum_in_blocks(losses, rows, items, tf.constant(WEIGHTS), block)
        return total, tape.gradient(total, [queries, items])

    run = both if way == "eager" else tf.function(both, jit_compile=way == "XLA")
    total, (of_queries, of_items) = run()
    value, query_gradient, item_gradient = expected()
    assert float(total) == pytest.approx(2 * value, rel=1e-5)
    np.testing.assert_allclose(of_queries, 2 * query_gradient, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_items, 2 * item_gradient, rtol=1e-4, atol=1e-5)


def test_block_of_what_is_small_or_not_known():
    assert block_of(1000, 1000) is None
    assert block_of(None, 10_000) is None and block_of(10_000, None) is None
    # 2^22 scores on a CPU, 2^20 where each core has a loop of its own.
    assert block_of(8192, 8192) == 512
    assert block_of(2, 2**23) == 1
    with on_plain_cpu():
        assert block_of(8192, 8192) == 128


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_each_core_has_a_loop(cores, monkeypatch):
    """Of three blocks, five cores cannot have more than three."""
    monkeypatch.setattr(score_blocks, "_cores", lambda: cores)

    @tf.function
    def step(queries, items):
        with on_plain_cpu():
            rows = {"query": queries, "skipped": tf.zeros([12], tf.int32)}
            return sum_in_blocks(losses, rows, items, tf.ones([12]), 4)

    graph = step.get_concrete_function(tf.TensorSpec([12, 2]), tf.TensorSpec([6, 2])).graph
    loops = [one for one in graph.get_operations() if one.type.endswith("PartitionedCall")]
    assert len(loops) == min(cores, 3)


SOFTMAX = {"name": "softmax", "smoothing": 0.1}


@pytest.mark.parametrize(
    "negatives, loss",
    [
        ({"source": "in_batch", "hard": 2}, SOFTMAX),
        ({"source": "full"}, SOFTMAX),
        ({"source": "mixed", "count": 7}, SOFTMAX),
        ({"source": "uniform", "count": 9, "logq": False}, {"name": "binary"}),
    ],
    ids=["in_batch", "full", "mixed", "uniform"],
)
def test_a_model_learns_the_same_in_blocks(negatives, loss, monkeypatch):
    batch = retrieval_batch(slice(0, 20))
    batch["weight"] = RANDOM.random(20).astype(np.float32)

    def gradients(scores_of_a_block):
        monkeypatch.setattr(score_blocks, "_SCORES", dict.fromkeys(("core", "CPU", "other"), scores_of_a_block))
        tf.random.set_seed(5)
        model = calm_two_tower(temperature=0.2, negatives=negatives, loss=loss, learned_temperature=True)
        model.hard_items.assign(
            tf.cast(tf.reshape(tf.range(tf.size(model.hard_items)), model.hard_items.shape) % 30, tf.int32)
        )
        for place, weight in enumerate(model.trainable_variables):
            weight.assign(tf.random.stateless_normal(weight.shape, [1, place], stddev=0.3) + 0.1)

        @tf.function
        def step():
            with on_plain_cpu(), tf.GradientTape() as tape:
                loss = model.compute_loss({name: tf.constant(array) for name, array in batch.items()}, training=True)
            found = tape.gradient(loss, model.trainable_variables)
            return loss, [tf.convert_to_tensor(one) for one in found if one is not None]

        tf.random.set_seed(5)
        return step()

    (whole, of_whole), (blocks, of_blocks) = gradients(2**22), gradients(64)
    assert float(blocks) == pytest.approx(float(whole), rel=1e-5)
    assert len(of_whole) == len(of_blocks) > 5
    for one, other in zip(of_whole, of_blocks):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


def test_scores_of_all_rows_never_stand_in_memory():
    """The graph of the plain step has a tensor of all scores, that of the blocks none as large."""

    def largest(compiled):
        @tf.function
        def step(queries, items):
            with tf.GradientTape() as tape:
                tape.watch([queries, items])
                rows = {"query": queries, "skipped": tf.zeros([64], tf.int32)}
                weights = tf.ones([64])
                total = (
                    sum_in_blocks(losses, rows, items, weights, 8)
                    if compiled
                    else tf.reduce_sum(weights * losses(rows, items))
                )
            return tape.gradient(total, [queries, items])

        graph = step.get_concrete_function(tf.TensorSpec([64, 2]), tf.TensorSpec([6, 2])).graph
        graphs = [graph, *(graph._get_function(name).graph for name in graph._functions)]
        sizes = [
            output.shape.num_elements() or 0
            for one in graphs
            for operation in one.get_operations()
            for output in operation.outputs
            if output.shape.rank == 2 and output.shape[1] == 6
        ]
        return max(sizes)

    assert largest(False) == 64 * 6
    assert largest(True) == 8 * 6
