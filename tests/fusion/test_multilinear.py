"""Fusion by a low-rank tensor over all modalities."""

import numpy as np

from mmrec_tf.fusion import MultilinearFusion
from tests.fusion.by_hand import randomized, set_stand_ins, three_modalities, tokens_of, with_plain_tokens
from tests.layer_checks import check_layer


def test_passes_the_layer_checks(tmp_path):
    features, masks = three_modalities(rows=24)
    check_layer(
        lambda: MultilinearFusion(dim=4, rank=2, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    features = {"a": np.array([[2.0], [2.0], [9.0]], np.float32), "b": np.array([[3.0], [9.0], [9.0]], np.float32)}
    masks = {"a": np.array([True, True, False]), "b": np.array([True, False, False])}
    fusion = with_plain_tokens(MultilinearFusion(dim=1, rank=2), features, masks)
    # The first product takes the tokens as they are, the second a's twofold and of b only the offset 0.5.
    fusion.factors[0].set_weights([np.array([[1.0, 2.0]]), np.zeros(2)])
    fusion.factors[1].set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 0.5])])
    # both there:  (1 + 2)(1 + 3) - 1 + (1 + 4)(1 + 0.5) - 1 = 11 + 6.5
    # b absent:    (1 + 2)(1 + 0) - 1 + (1 + 4)(1 + 0.5) - 1 = 2 + 6.5
    # none there:  (1 + 0)(1 + 0) - 1 + (1 + 0)(1 + 0.5) - 1 = 0 + 0.5
    np.testing.assert_allclose(fusion(features, masks), [[17.5], [8.5], [0.5]], rtol=1e-6)
    # A stand-in counts like a value: (1 + 2)(1 - 1) - 1 + (1 + 4)(1 + 0.5) - 1.
    set_stand_ins(fusion, b=[-1.0])
    np.testing.assert_allclose(fusion(features, masks)[1], [5.5], rtol=1e-6)


def test_it_is_a_map_of_the_outer_product_of_all_tokens():
    # The reference's definition: the tensor of all products of the tokens with a 1 behind them, contracted with one
    # tensor of weights for each output, here written out in full.
    features, masks = three_modalities()
    dim, rank = 2, 3
    fusion = MultilinearFusion(dim=dim, rank=rank)
    fusion(features, masks)
    randomized(fusion)
    tokens, _ = tokens_of(fusion, features, masks)
    ones = np.ones([len(tokens), 1])
    outer = np.einsum("bi,bj,bk->bijk", *(np.concatenate([tokens[:, m], ones], axis=1) for m in range(3)))
    tensor = np.zeros([dim + 1, dim + 1, dim + 1, dim])
    for r in range(rank):
        factors = []
        for layer in fusion.factors:
            columns = slice(r * dim, (r + 1) * dim)
            kernel, bias = layer.kernel.numpy()[:, columns], layer.bias.numpy()[columns]
            factors.append(np.concatenate([kernel, [1.0 + bias]]))
        tensor += np.einsum("io,jo,ko->ijko", *factors)
    expected = np.einsum("bijk,ijko->bo", outer, tensor) - rank
    np.testing.assert_allclose(fusion(features, masks), expected, rtol=1e-4, atol=1e-4)
