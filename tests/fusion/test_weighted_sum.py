"""Fusion by a weighted sum."""

import numpy as np

from mmrec_tf.fusion import WeightedSumFusion
from tests.fusion.by_hand import FEATURES, MASKS, plain, set_stand_ins, three_modalities, with_plain_tokens
from tests.layer_checks import check_layer


def by_hand() -> WeightedSumFusion:
    fusion = with_plain_tokens(WeightedSumFusion(dim=2))
    fusion.logits.assign(np.log([1.0, 3.0]))
    set_stand_ins(fusion, a=[4.0, 0.0], b=[0.0, 4.0])
    return fusion


def test_passes_the_layer_checks(tmp_path):
    features, masks = three_modalities(rows=24)
    check_layer(
        lambda: WeightedSumFusion(dim=4, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_result_by_hand():
    # Softmax of log 1 and log 3 is 1/4 and 3/4.
    #   both there:  [1, 2] / 4 + [3, -2] * 3/4 = [2.5, -1]
    #   b absent:    [1, 2]
    #   none there:  the stand-ins, [4, 0] / 4 + [0, 4] * 3/4 = [1, 3]
    np.testing.assert_allclose(by_hand()(FEATURES, MASKS), [[2.5, -1.0], [1.0, 2.0], [1.0, 3.0]], rtol=1e-6)


def test_weights_are_shared_among_the_present():
    assert plain(by_hand().modality_weights(FEATURES, MASKS)) == {"a": [0.25, 1.0, 0.25], "b": [0.75, 0.0, 0.75]}


def test_all_modalities_start_alike():
    features, masks = three_modalities()
    weights = WeightedSumFusion(dim=4).modality_weights(features, masks)
    np.testing.assert_allclose(np.stack(list(weights.values()))[:, 0], 1 / 3, rtol=1e-6)
