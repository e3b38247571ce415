"""Multi-head attention between an item's few tokens."""

import numpy as np
import pytest
from scipy.special import softmax

from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion.token_attention import TokenAttention
from tests.fusion.by_hand import randomized
from tests.layer_checks import check_layer

RANDOM = np.random.default_rng(5)
QUERIES = RANDOM.normal(size=[3, 2, 4]).astype(np.float32)
KEYS = RANDOM.normal(size=[3, 5, 4]).astype(np.float32)
ATTENDED = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]], bool)


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: TokenAttention(dim=4, heads=2),
        QUERIES,
        tmp_path,
        call_arguments={"keys": KEYS, "attended": ATTENDED},
        expected_shape=((3, 2, 4), (3, 2, 5, 2)),
    )


def test_against_numpy_head_by_head():
    layer = TokenAttention(dim=4, heads=2)
    layer(QUERIES, KEYS, ATTENDED)
    randomized(layer)
    query, key = QUERIES @ layer.query.kernel.numpy() + layer.query.bias.numpy(), KEYS @ layer.key.kernel.numpy()
    value = KEYS @ layer.value.kernel.numpy() + layer.value.bias.numpy()
    heads, weights = [], []
    for head, sharpness in enumerate(layer.sharpness.numpy()):
        part = slice(2 * head, 2 * head + 2)
        q = query[..., part] / np.linalg.norm(query[..., part], axis=-1, keepdims=True)
        k = key[..., part] / np.linalg.norm(key[..., part], axis=-1, keepdims=True)
        scores = np.where(ATTENDED[:, None], sharpness * q @ k.transpose(0, 2, 1), -np.inf)
        weights.append(softmax(scores, axis=2))
        heads.append(weights[-1] @ value[..., part])
    expected = np.concatenate(heads, axis=-1) @ layer.output_map.kernel.numpy() + layer.output_map.bias.numpy()
    output, attention = layer(QUERIES, KEYS, ATTENDED)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(attention, np.stack(weights, axis=3), rtol=1e-4, atol=1e-6)


def test_the_scale_of_the_tokens_does_not_change_the_attention():
    layer = TokenAttention(dim=4, heads=2)
    _, attention = layer(QUERIES, KEYS, ATTENDED)
    _, scaled = layer(1000.0 * QUERIES, 1000.0 * KEYS, ATTENDED)
    np.testing.assert_allclose(attention, scaled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("heads", [0, 3, 4, 8])
def test_heads_that_do_not_fit_the_width_are_refused(heads):
    with pytest.raises(ConfigError, match=rf"fusion.heads is {heads}.*the width 4 .*one of 1, 2\."):
        TokenAttention(dim=4, heads=heads)
