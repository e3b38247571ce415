"""Fusion by a small Transformer encoder."""

import numpy as np
import pytest
from scipy.special import erf

from mmrec_tf.fusion import CoAttentionFusion
from tests.fusion.by_hand import (
    FEATURES,
    MASKS,
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
        lambda: CoAttentionFusion(dim=4, heads=2, layers=2, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


@pytest.mark.slow
def test_is_reloaded_where_this_package_is_not_imported(tmp_path):
    features, masks = three_modalities()
    check_layer(
        lambda: CoAttentionFusion(dim=4, heads=2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        fresh_process=True,
    )


def test_blocks_that_add_nothing_leave_the_mean_of_tokens_and_embeddings():
    fusion = with_plain_tokens(CoAttentionFusion(dim=2, heads=1, layers=2))
    for block in fusion.blocks:
        for layer in (block.attention.output_map, block.narrow):
            layer.set_weights([np.zeros(layer.kernel.shape), np.zeros(2)])
    fusion.embeddings["a"].assign([1.0, 0.0])
    fusion.embeddings["b"].assign([0.0, 2.0])
    set_stand_ins(fusion, a=[4.0, 0.0], b=[0.0, 4.0])
    # both there:  ([1, 2] + [1, 0] + [3, -2] + [0, 2]) / 2 = [2.5, 1]
    # b absent:    [1, 2] + [1, 0]
    # none there:  ([4, 0] + [1, 0] + [0, 4] + [0, 2]) / 2 = [2.5, 3]
    np.testing.assert_allclose(fusion(FEATURES, MASKS), [[2.5, 1.0], [2.0, 2.0], [2.5, 3.0]], rtol=1e-6)


def test_what_blocks_add_starts_small():
    features, masks = three_modalities()
    fusion = CoAttentionFusion(dim=4, heads=2, layers=2)
    fusion(features, masks)
    for block in fusion.blocks:
        np.testing.assert_allclose([block.attention_scale, block.network_scale], np.full([2, 4], 0.1), rtol=1e-6)


def test_blocks_against_numpy():
    features, masks = three_modalities()
    fusion = CoAttentionFusion(dim=4, heads=2, layers=2)
    fusion(features, masks)
    randomized(fusion)
    tokens, attended = tokens_of(fusion, features, masks)
    tokens += np.stack([fusion.embeddings[name].numpy() for name in sorted(features)])

    def normalized(values, layer):
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3)
        return scaled * layer.gamma.numpy() + layer.beta.numpy()

    def dense(values, layer):
        return values @ layer.kernel.numpy() + layer.bias.numpy()

    for block in fusion.blocks:
        seen = normalized(tokens, block.normalize_attention).astype(np.float32)
        tokens = tokens + block.attention_scale.numpy() * block.attention(seen, seen, attended)[0].numpy()
        hidden = dense(normalized(tokens, block.normalize_network), block.widen)
        told = dense(hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))), block.narrow)
        tokens = tokens + block.network_scale.numpy() * told
    expected = [row[there].mean(axis=0) for row, there in zip(tokens, attended)]
    np.testing.assert_allclose(fusion(features, masks), expected, rtol=1e-3, atol=1e-4)
