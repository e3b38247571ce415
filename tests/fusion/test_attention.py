"""Fusion by self-attention."""

import numpy as np

from mmrec_tf.fusion import AttentionFusion
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
        lambda: AttentionFusion(dim=4, heads=2, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    fusion = with_plain_tokens(AttentionFusion(dim=2, heads=1))
    # Queries of zeros look at all alike; values and output are the tokens themselves, the output twofold.
    fusion.attention.query.set_weights([np.zeros([2, 2]), np.zeros(2)])
    fusion.attention.value.set_weights([np.eye(2), np.zeros(2)])
    fusion.attention.output_map.set_weights([2 * np.eye(2), np.zeros(2)])
    set_stand_ins(fusion, a=[4.0, 0.0], b=[0.0, 4.0])
    # Each token becomes t + 2 mean, so their mean three means: of [1, 2] and [3, -2]; of [1, 2]; of the stand-ins.
    np.testing.assert_allclose(fusion(FEATURES, MASKS), [[6.0, 0.0], [3.0, 6.0], [6.0, 6.0]], rtol=1e-5)
    assert plain(fusion.modality_weights(FEATURES, MASKS)) == {"a": [0.5, 1.0, 0.5], "b": [0.5, 0.0, 0.5]}


def test_weights_are_what_a_modality_receives_from_the_present():
    features, masks = three_modalities()
    fusion = AttentionFusion(dim=4, heads=2)
    fusion(features, masks)
    randomized(fusion)
    tokens, attended = tokens_of(fusion, features, masks)
    output, attention = (part.numpy() for part in fusion.attention(tokens, tokens, attended))
    weights = np.stack(list(fusion.modality_weights(features, masks).values()), axis=1)
    fused = fusion(features, masks).numpy()
    for row in range(len(tokens)):
        there = attended[row]
        received = attention[row][there].mean(axis=(0, 2))
        np.testing.assert_allclose(weights[row], received, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fused[row], (tokens[row] + output[row])[there].mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(weights[~attended], 0.0)
