"""Histories read by a Transformer."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.history import TransformerHistory
from mmrec_tf.models.history.transformer import CausalBlock
from tests.layer_checks import check_layer
from tests.models.history.histories import DIM, LENGTH, MASK, given, randomized


def test_passes_the_layer_checks(tmp_path):
    inputs = given()
    items = inputs.pop("items")
    check_layer(
        lambda: TransformerHistory(DIM, LENGTH, blocks=2, heads=2, dropout=0.2),
        items,
        tmp_path,
        call_arguments=inputs,
        expected_shape=(5, LENGTH, DIM),
    )


def test_a_block_passes_the_layer_checks(tmp_path):
    attended = np.tril(np.ones([LENGTH, LENGTH], bool)) & MASK[:, None, :]
    check_layer(
        lambda: CausalBlock(DIM, LENGTH, heads=2),
        given()["items"],
        tmp_path,
        call_arguments={"attended": attended},
        expected_shape=(5, LENGTH, DIM),
    )


def normalized(layer, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5) * layer.gamma.numpy() + layer.beta.numpy()


def mapped(layer, x):
    return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0.0)


def gelu(x):
    return np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(x)


def block_in_numpy(block, steps):
    """One row without padding, head by head."""
    query, key, value = np.split(mapped(block.queries_keys_values, normalized(block.normalize_attention, steps)), 3, -1)
    width, seen = DIM // block.heads, np.zeros_like(steps)
    for head in range(block.heads):
        part = slice(head * width, (head + 1) * width)
        for i in range(len(steps)):
            bias = block.distance.numpy()[head][LENGTH - 1 - i :]  # from distance i to distance 0
            scores = np.exp(key[: i + 1, part] @ query[i, part] / math.sqrt(width) + bias)
            seen[i, part] = scores @ value[: i + 1, part] / scores.sum()
    steps = steps + mapped(block.attended_map, seen)
    return steps + mapped(block.narrow, gelu(mapped(block.widen, normalized(block.normalize_transform, steps))))


def test_formula_in_numpy():
    history, inputs = randomized(TransformerHistory(DIM, LENGTH, blocks=2, heads=2)), given()
    mean = history.mean(**inputs).numpy()
    found = history(**inputs).numpy()
    for row in range(4):
        present = MASK[row]
        steps = normalized(history.normalize, inputs["items"][row][present])
        steps = steps + history.gap_embedding.embeddings.numpy()[inputs["gaps"][row][present]]
        for block in history.causal_blocks:
            steps = block_in_numpy(block, steps)
        expected = mean[row][present] + mapped(history.project, normalized(history.normalize_states, steps))
        np.testing.assert_allclose(found[row][present], expected, rtol=1e-3, atol=1e-4)


def test_a_longer_window_says_the_same_of_the_latest_items():
    history, inputs = TransformerHistory(DIM, 20, blocks=1), given()
    short = history(**inputs).numpy()
    ahead = {name: np.pad(value, [(0, 0), (14, 0)] + [(0, 0)] * (value.ndim - 2)) for name, value in inputs.items()}
    np.testing.assert_allclose(history(**ahead).numpy()[:, -LENGTH:], short, atol=1e-5)


def test_dropout_in_training_only():
    history, inputs = TransformerHistory(DIM, LENGTH, dropout=0.5), given()
    np.testing.assert_array_equal(history(**inputs), history(**inputs))
    tf.random.set_seed(0)
    assert np.abs(history(**inputs, training=True) - history(**inputs, training=True)).max() > 1e-3


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="history.heads is 4, .* models.retrieval.dim, 6. Choose one of 1, 2, 3, 6."):
        TransformerHistory(6, LENGTH, heads=4)
