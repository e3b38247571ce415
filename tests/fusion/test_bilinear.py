"""Fusion by products of two modalities."""

import numpy as np

from mmrec_tf.fusion import BilinearFusion
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
        lambda: BilinearFusion(dim=4, rank=3, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    fusion = with_plain_tokens(BilinearFusion(dim=2, rank=1))
    # One product: tanh of a's first number times tanh of b's second, ten times in the first dimension.
    fusion.factors[0].set_weights([np.array([[1.0], [0.0]])])
    fusion.factors[1].set_weights([np.array([[0.0], [1.0]])])
    fusion.mix_pairs.set_weights([np.array([[10.0, 0.0]])])
    set_stand_ins(fusion, a=[2.0, 0.0], b=[0.0, 0.0])
    # both there:  [1, 2] + [3, -2] + [10 tanh(1) tanh(-2), 0] = [4 - 7.341979, 0]
    # b absent:    [1, 2] + [0, 0], as the product with a stand-in of zeros is 0
    # none there:  [2, 0] + [0, 0]
    np.testing.assert_allclose(
        fusion(FEATURES, MASKS), [[4.0 - 7.341979, 0.0], [1.0, 2.0], [2.0, 0.0]], rtol=1e-5, atol=1e-6
    )


def test_every_pair_has_weights_of_its_own():
    features, masks = three_modalities()
    fusion = BilinearFusion(dim=4, rank=2)
    fusion(features, masks)
    randomized(fusion)
    tokens, _ = tokens_of(fusion, features, masks)
    maps = fusion.mix_pairs.kernel.numpy().reshape(3, 2, 4)
    expected = tokens.sum(axis=1)
    for place, (one, other) in enumerate([(0, 1), (0, 2), (1, 2)]):
        for rank in range(2):
            products = np.prod(
                [np.tanh(tokens[:, m] @ fusion.factors[m].kernel.numpy()[:, rank]) for m in (one, other)], axis=0
            )
            expected += np.outer(products, maps[place, rank])
    np.testing.assert_allclose(fusion(features, masks), expected, rtol=1e-4, atol=1e-5)


def test_a_lone_modality_is_only_projected():
    fusion = with_plain_tokens(BilinearFusion(dim=2), {"a": FEATURES["a"]}, {"a": MASKS["a"]})
    np.testing.assert_allclose(fusion({"a": FEATURES["a"]}, {"a": MASKS["a"]}), [[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    assert len(fusion.trainable_weights) == 3
