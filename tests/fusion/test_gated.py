"""Fusion by gates."""

import numpy as np
from scipy.special import softmax

from mmrec_tf.fusion import GatedFusion
from tests.fusion.by_hand import (
    FEATURES,
    MASKS,
    plain,
    randomized,
    set_stand_ins,
    three_modalities,
    tokens_of,
    with_plain_tokens,
)
from tests.layer_checks import check_layer


def test_passes_the_layer_checks(tmp_path):
    features, masks = three_modalities(rows=24)
    check_layer(
        lambda: GatedFusion(dim=4, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    fusion = with_plain_tokens(GatedFusion(dim=2))
    # Scores of a, then of b, one for each dimension: gates 1/4 and 3/4 in the first, 1/2 and 1/2 in the second.
    fusion.gate.set_weights([np.zeros([4, 4]), np.log([1.0, 1.0, 3.0, 1.0])])
    set_stand_ins(fusion, a=[4.0, 0.0], b=[0.0, 4.0])
    # both there:  [tanh(1) / 4 + tanh(3) * 3/4, tanh(2) / 2 + tanh(-2) / 2]
    # b absent:    [tanh(1), tanh(2)]
    # none there:  [tanh(4) / 4, tanh(4) / 2]
    expected = [[0.9366894, 0.0], [0.7615942, 0.9640276], [0.2498323, 0.4996647]]
    np.testing.assert_allclose(fusion(FEATURES, MASKS), expected, atol=1e-6)
    # The means of 1/4 and 1/2, and of 3/4 and 1/2.
    assert plain(fusion.modality_weights(FEATURES, MASKS)) == {"a": [0.375, 1.0, 0.375], "b": [0.625, 0.0, 0.625]}


def test_gates_depend_on_all_the_tokens():
    features, masks = three_modalities()
    fusion = GatedFusion(dim=4)
    fusion(features, masks)
    randomized(fusion)
    tokens, attended = tokens_of(fusion, features, masks)
    scores = (tokens.reshape(6, 12) @ fusion.gate.kernel.numpy() + fusion.gate.bias.numpy()).reshape(6, 3, 4)
    gates = softmax(np.where(attended[:, :, None], scores, -np.inf), axis=1)
    np.testing.assert_allclose(fusion(features, masks), (gates * np.tanh(tokens)).sum(axis=1), rtol=1e-4, atol=1e-6)
    weights = fusion.modality_weights(features, masks)
    np.testing.assert_allclose(np.stack(list(weights.values()), axis=1), gates.mean(axis=2), rtol=1e-4, atol=1e-6)
