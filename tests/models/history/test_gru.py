"""Histories read by a recurrent network."""

import numpy as np

from mmrec_tf.models.history import GruHistory
from tests.layer_checks import check_layer
from tests.models.history.histories import DIM, LENGTH, MASK, given, randomized


def test_passes_the_layer_checks(tmp_path):
    inputs = given()
    items = inputs.pop("items")
    check_layer(
        lambda: GruHistory(DIM, LENGTH), items, tmp_path, call_arguments=inputs, expected_shape=(5, LENGTH, DIM)
    )


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_formula_in_numpy():
    history, inputs = randomized(GruHistory(DIM, LENGTH)), given()
    kernel, recurrent, (bias, recurrent_bias) = (w.numpy() for w in history.recurrence.cell.weights)
    items, gamma, beta = inputs["items"], history.normalize.gamma.numpy(), history.normalize.beta.numpy()
    centred = items - items.mean(axis=2, keepdims=True)
    steps = centred / np.sqrt(centred.var(axis=2, keepdims=True) + 1e-5) * gamma + beta
    steps += history.gap_embedding.embeddings.numpy()[inputs["gaps"]]
    mean = history.mean(**inputs).numpy()
    expected = np.zeros_like(items)
    for row in range(len(items)):
        state = np.zeros(DIM)
        for position in np.flatnonzero(MASK[row]):
            z, r, c = np.split(steps[row, position] @ kernel + bias, 3)
            u_z, u_r, u_c = np.split(state @ recurrent + recurrent_bias, 3)
            z, r = sigmoid(z + u_z), sigmoid(r + u_r)
            state = z * state + (1 - z) * np.tanh(c + r * u_c)
            output = state @ history.project.kernel.numpy() + history.project.bias.numpy()
            expected[row, position] = mean[row, position] + output
    np.testing.assert_allclose(history(**inputs), expected, rtol=1e-4, atol=1e-5)
