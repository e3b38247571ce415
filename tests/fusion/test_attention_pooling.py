"""Fusion by attention pooling."""

import numpy as np
import pytest
from scipy.special import softmax

from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import AttentionPoolingFusion
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
        lambda: AttentionPoolingFusion(dim=4, heads=2, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    fusion = with_plain_tokens(AttentionPoolingFusion(dim=2, heads=1))
    # The key is tanh of the second number, tanh(2) and tanh(-2), and the query scales it so that the scores differ
    # by log 3: softmax 3/4 and 1/4.
    fusion.key.set_weights([np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros(2)])
    fusion.queries.set_weights([np.array([[np.log(3.0) / (2 * np.tanh(2.0))], [0.0]])])
    set_stand_ins(fusion, a=[4.0, 0.0], b=[2.0, 0.0])
    # both there:  [1, 2] * 3/4 + [3, -2] / 4 = [1.5, 1]
    # none there:  keys of zeros, so the stand-ins count alike
    np.testing.assert_allclose(fusion(FEATURES, MASKS), [[1.5, 1.0], [1.0, 2.0], [3.0, 0.0]], rtol=1e-5)
    assert plain(fusion.modality_weights(FEATURES, MASKS)) == {"a": [0.75, 1.0, 0.5], "b": [0.25, 0.0, 0.5]}


def test_every_head_pools_a_slice_of_its_own():
    features, masks = three_modalities()
    fusion = AttentionPoolingFusion(dim=4, heads=2)
    fusion(features, masks)
    randomized(fusion)
    tokens, attended = tokens_of(fusion, features, masks)
    scores = np.tanh(tokens @ fusion.key.kernel.numpy() + fusion.key.bias.numpy()) @ fusion.queries.kernel.numpy()
    weights = softmax(np.where(attended[:, :, None], scores, -np.inf), axis=1)
    pooled = [(weights[:, :, [head]] * tokens[:, :, 2 * head : 2 * head + 2]).sum(axis=1) for head in range(2)]
    np.testing.assert_allclose(fusion(features, masks), np.concatenate(pooled, axis=1), rtol=1e-4, atol=1e-5)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match=r"fusion.heads is 4.*the width 50 .*one of 1, 2, 5, 10, 25\."):
        AttentionPoolingFusion(dim=50)
