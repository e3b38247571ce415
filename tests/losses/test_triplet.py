"""Semi-hard triplets by hand and against loops."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.losses.triplet import TripletAlignment
from tests.layer_checks import check_layer

VECTORS = tuple(np.random.default_rng(1).normal(size=[6, width]).astype(np.float32) for width in (5, 3))
MASKS = np.array([1, 1, 1, 1, 0, 1], bool), np.array([1, 1, 1, 1, 1, 1], bool)


def loss_of(similarity, counted, negative, margin=0.2) -> float:
    layer = TripletAlignment(dim=None, margin=margin)
    return float(layer.loss(tf.constant(similarity, tf.float32), tf.constant(counted), tf.constant(negative)))


def test_passes_the_layer_checks(tmp_path):
    # A margin of 2 is never met, so every row has a gradient.
    check_layer(
        lambda: TripletAlignment(dim=4, margin=2.0),
        VECTORS,
        tmp_path,
        call_arguments={"masks": MASKS, "ids": np.array([1, 2, 3, 1, 5, 6])},
        expected_shape=(),
        has_float32_output=True,
    )


def test_loss_by_hand():
    # Own cosines 0.5, 0.6, 0.1.
    #   row 0: negatives 0.4 and 0.9; 0.4 is the nearest farther than its own:      0.4 - 0.5 + 0.2 = 0.1
    #   row 1: negatives 0.3 and 0.1; the nearest is 0.3:                     max(0, 0.3 - 0.6 + 0.2) = 0
    #   row 2: negatives 0.2 and 0.7 are both nearer than its own; the farthest, 0.2: 0.2 - 0.1 + 0.2 = 0.3
    #   column 0: 0.3 and 0.2, the nearest is 0.3:                                    0.3 - 0.5 + 0.2 = 0
    #   column 1: 0.4 and 0.7; 0.4 is farther than its own:                     max(0, 0.4 - 0.6 + 0.2) = 0
    #   column 2: 0.9 and 0.1; neither is less than 0.1, the farthest is 0.1:         0.1 - 0.1 + 0.2 = 0.2
    # (0.1 + 0 + 0.3) / 3 and (0 + 0 + 0.2) / 3, averaged: 0.1
    similarity = [[0.5, 0.4, 0.9], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]]
    assert loss_of(similarity, [True] * 3, ~np.eye(3, dtype=bool)) == pytest.approx(0.1, abs=1e-6)


def test_loss_against_loops():
    random = np.random.default_rng(4)
    similarity = random.uniform(-1, 1, [8, 8])
    ids = np.array([0, 1, 2, 0, 3, 4, 5, 5])
    counted = np.array([1, 1, 1, 1, 0, 1, 1, 1], bool)
    negative = (ids[:, None] != ids[None, :]) & counted[:, None] & counted[None, :]
    losses = []
    for scores in (similarity, similarity.T):
        for i in np.flatnonzero(counted):
            others = scores[i][negative[i]]
            farther = others[others < scores[i, i]]
            chosen = farther.max() if len(farther) else others.min()
            losses.append(max(0.0, chosen - scores[i, i] + 0.3))
    assert loss_of(similarity, counted, negative, margin=0.3) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_row_without_negatives_is_not_counted():
    # Rows 0 and 1 are negatives of each other, row 2 has none: (0.1 + 0.1) / 2, not / 3.
    negative = np.zeros([3, 3], bool)
    negative[[0, 1], [1, 0]] = True
    similarity = [[0.5, 0.4, 0.9], [0.4, 0.5, 0.9], [0.9, 0.9, 0.0]]
    assert loss_of(similarity, [True] * 3, negative) == pytest.approx(0.1, abs=1e-6)
