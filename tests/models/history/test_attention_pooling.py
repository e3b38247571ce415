"""Histories as means weighted by what they have to do with the latest item."""

import numpy as np

from mmrec_tf.models.history import AttentionPoolingHistory
from tests.layer_checks import check_layer
from tests.models.history.histories import DIM, LENGTH, MASK, given, randomized


def test_passes_the_layer_checks(tmp_path):
    inputs = given()
    items = inputs.pop("items")
    check_layer(
        lambda: AttentionPoolingHistory(DIM, LENGTH),
        items,
        tmp_path,
        call_arguments=inputs,
        expected_shape=(5, LENGTH, DIM),
    )


def test_formula_in_numpy():
    history, inputs = randomized(AttentionPoolingHistory(DIM, LENGTH)), given()
    items, gamma, beta = inputs["items"], history.normalize.gamma.numpy(), history.normalize.beta.numpy()
    centred = items - items.mean(axis=2, keepdims=True)
    steps = centred / np.sqrt(centred.var(axis=2, keepdims=True) + 1e-5) * gamma + beta
    steps += history.gap_embedding.embeddings.numpy()[inputs["gaps"]]
    query = steps @ history.query.kernel.numpy() + history.query.bias.numpy()
    key = steps @ history.key.kernel.numpy()
    mean = history.mean(**inputs).numpy()
    expected = np.zeros_like(items)
    for row in range(len(items)):
        for i in np.flatnonzero(MASK[row]):
            seen = [j for j in range(i + 1) if MASK[row, j]]
            bias = [history.distance.numpy()[LENGTH - 1 - (i - j)] for j in seen]
            scores = np.exp(key[row, seen] @ query[row, i] / 2.0 + bias)  # 2 is the root of the width
            state = np.concatenate([scores @ steps[row, seen] / scores.sum(), steps[row, i]])
            output = state @ history.project.kernel.numpy() + history.project.bias.numpy()
            expected[row, i] = mean[row, i] + output
    np.testing.assert_allclose(history(**inputs), expected, rtol=1e-4, atol=1e-5)
