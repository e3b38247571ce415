"""The pairwise sigmoid loss by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.sigmoid import SigmoidAlignment
from tests.layer_checks import check_layer

VECTORS = tuple(np.random.default_rng(1).normal(size=[6, width]).astype(np.float32) for width in (5, 3))
MASKS = np.array([1, 1, 1, 1, 0, 1], bool), np.array([1, 1, 1, 1, 1, 1], bool)


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: SigmoidAlignment(dim=4, bias=-1.0),
        VECTORS,
        tmp_path,
        call_arguments={"masks": MASKS, "ids": np.array([1, 2, 3, 1, 5, 6])},
        expected_shape=(),
        has_float32_output=True,
    )


def test_loss_by_hand():
    # Two rows with cosine 1 to their own and 0 to the other, scale 3 and bias -1:
    # own: -log sigmoid(3 - 1) = log(1 + e^-2); other: -log(1 - sigmoid(-1)) = log(1 + e^-1).
    layer = SigmoidAlignment(dim=None, scale=3.0, bias=-1.0)
    there = np.ones(2, bool)
    loss = layer((np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 7.0]])), masks=(there, there))
    assert float(loss) == pytest.approx(np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1)), rel=1e-5)


def test_loss_against_scikit_learn():
    # Row 4 is absent; rows 0 and 3 are one item. What is left is a classification of pairs, summed over a row.
    layer = SigmoidAlignment(dim=None, scale=2.0, bias=-0.5)
    first, second = VECTORS[0], VECTORS[0][::-1].copy()
    ids = np.array([1, 2, 3, 1, 5, 6])
    unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in (first, second)]
    chances = 1 / (1 + np.exp(-(2.0 * unit[0] @ unit[1].T - 0.5)))
    kept = [0, 1, 2, 3, 5]
    pairs = [(i, j) for i in kept for j in kept if i == j or ids[i] != ids[j]]
    labels = [i == j for i, j in pairs]
    expected = log_loss(labels, [chances[pair] for pair in pairs], normalize=False) / len(kept)
    assert float(layer((first, second), masks=MASKS, ids=ids)) == pytest.approx(expected, rel=1e-4)


def test_the_bias_starts_low_so_that_many_negatives_do_no_harm():
    layer = SigmoidAlignment(dim=8)
    random = np.random.default_rng(0)
    vectors = tuple(random.normal(size=[256, width]).astype(np.float32) for width in (16, 24))
    there = np.ones(256, bool)
    # About 10 for the own pair, and of the 255 others each about log(1 + e^(-10 + 10 s)), s around 0.
    assert float(layer(vectors, masks=(there, there))) < 20.0
    assert float(SigmoidAlignment(dim=8, bias=0.0)(vectors, masks=(there, there))) > 150.0


@pytest.mark.parametrize("scale", [0.0, 0.5, 101.0])
def test_a_scale_out_of_its_range_is_refused(scale):
    with pytest.raises(ConfigError, match=rf"lies in \[1, 100\], got {scale}"):
        SigmoidAlignment(scale=scale)
