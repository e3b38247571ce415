"""Fusion by cross-attention from one modality to the others."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import CrossAttentionFusion
from tests.fusion.by_hand import plain, randomized, set_stand_ins, three_modalities, tokens_of, with_plain_tokens
from tests.layer_checks import check_layer

# The last row has the query alone, the one before nothing at all.
FEATURES = {
    "a": np.array([[1.0, 2.0], [9.0, 9.0], [9.0, 9.0], [1.0, 2.0]], np.float32),
    "b": np.array([[3.0, -2.0], [3.0, -2.0], [9.0, 9.0], [9.0, 9.0]], np.float32),
    "c": np.array([[5.0, 4.0], [9.0, 9.0], [9.0, 9.0], [9.0, 9.0]], np.float32),
}
MASKS = {
    "a": np.array([True, False, False, True]),
    "b": np.array([True, True, False, False]),
    "c": np.array([True, False, False, False]),
}


def by_hand(**options) -> CrossAttentionFusion:
    """Looks at all the others alike, and adds twice their mean to the query."""
    fusion = with_plain_tokens(CrossAttentionFusion(dim=2, heads=1, **options), FEATURES, MASKS)
    fusion.attention.query.set_weights([np.zeros([2, 2]), np.zeros(2)])
    fusion.attention.value.set_weights([np.eye(2), np.zeros(2)])
    fusion.attention.output_map.set_weights([2 * np.eye(2), np.zeros(2)])
    set_stand_ins(fusion, a=[0.5, 0.0], b=[0.0, 1.0], c=[1.0, 0.0])
    return fusion


def test_passes_the_layer_checks(tmp_path):
    features, masks = three_modalities(rows=60)
    check_layer(
        lambda: CrossAttentionFusion(dim=4, query="image", heads=2, modality_dropout=0.1),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(60, 4),
    )


def test_the_first_modality_queries_by_default():
    # all there:   [1, 2] + [3, -2] + [5, 4] = [9, 4]
    # only b:      the query's stand-in [0.5, 0] + 2 [3, -2] = [6.5, -4]
    # none there:  [0.5, 0] + the stand-ins [0, 1] + [1, 0] = [1.5, 1]
    # only a:      [1, 2] + the stand-ins [0, 1] + [1, 0] = [2, 3]
    expected = [[9.0, 4.0], [6.5, -4.0], [1.5, 1.0], [2.0, 3.0]]
    np.testing.assert_allclose(by_hand()(FEATURES, MASKS), expected, rtol=1e-5)


def test_another_modality_may_query():
    # all there:   [3, -2] + [1, 2] + [5, 4] = [9, 4]
    # only b:      [3, -2] + the stand-ins [0.5, 0] + [1, 0] = [4.5, -2]
    # none there:  [0, 1] + [0.5, 0] + [1, 0] = [1.5, 1]
    # only a:      the query's stand-in [0, 1] + 2 [1, 2] = [2, 5]
    fusion = by_hand(query="b")
    np.testing.assert_allclose(fusion(FEATURES, MASKS), [[9.0, 4.0], [4.5, -2.0], [1.5, 1.0], [2.0, 5.0]], rtol=1e-5)
    # What is absent has no weight, also where the query is alone; where nothing is there, it is the stand-ins'.
    assert plain(fusion.modality_weights(FEATURES, MASKS)) == {
        "a": [0.5, 0.0, 0.5, 1.0],
        "b": [0.0, 1.0, 0.0, 0.0],
        "c": [0.5, 0.0, 0.5, 0.0],
    }


def test_the_query_asks_the_others_by_attention():
    features, masks = three_modalities()
    fusion = CrossAttentionFusion(dim=4, query="image", heads=2)
    fusion(features, masks)
    randomized(fusion)
    tokens, _ = tokens_of(fusion, features, masks)
    present = np.stack([masks["audio"], masks["text"]], axis=1)
    present |= ~present.any(axis=1, keepdims=True)
    output, _ = fusion.attention(tokens[:, 1:2], tokens[:, [0, 2]], present)
    np.testing.assert_allclose(fusion(features, masks), tokens[:, 1] + output.numpy()[:, 0], rtol=1e-4, atol=1e-5)


def test_a_lone_modality_is_only_projected():
    features, masks = {"a": FEATURES["a"]}, {"a": MASKS["a"]}
    fusion = with_plain_tokens(CrossAttentionFusion(dim=2, heads=1), features, masks)
    np.testing.assert_allclose(fusion(features, masks)[0], [1.0, 2.0])
    assert plain(fusion.modality_weights(features, masks)) == {"a": [1.0] * 4}


def test_an_unknown_query_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="fusion.query 'imgae' is no modality of the items. Did you mean 'image'"):
        CrossAttentionFusion(dim=4, query="imgae", heads=2)(*three_modalities())
