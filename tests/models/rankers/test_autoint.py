"""AutoInt: its attention over fields against NumPy."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.rankers.autoint import FieldAttention
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import (
    linear_part,
    of_deep,
    one_pair,
    only_ids,
    pairs,
    randomized,
    side_by_side,
    softmax,
)

FIELDS = np.random.default_rng(0).normal(size=[3, 4, 6]).astype(np.float32)


def attended(block, fields: np.ndarray) -> np.ndarray:
    """Head by head, field by field."""
    rows, count, dim = fields.shape
    width = dim // block.heads
    maps = (fields @ block.queries_keys_values.kernel.numpy()).reshape(rows, count, 3, block.heads, width)
    output = np.zeros_like(fields)
    for head in range(block.heads):
        query, key, value = (maps[:, :, part, head] for part in range(3))
        weights = softmax(np.einsum("rfw,rgw->rfg", query, key) / np.sqrt(width))
        output[:, :, head * width : (head + 1) * width] = weights @ value
    return np.maximum(output + fields @ block.residual.kernel.numpy(), 0.0)


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: FieldAttention(dim=6, heads=3), FIELDS, tmp_path, expected_shape=(3, 4, 6))


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_attention_against_numpy(heads):
    block = FieldAttention(dim=6, heads=heads)
    np.testing.assert_allclose(block(FIELDS), attended(block, FIELDS), rtol=1e-4, atol=1e-5)


def test_score_by_hand():
    model = only_ids("autoint", hidden=[], blocks=1, heads=1)
    # Queries of zeros look at both fields alike; values are the fields, and the residual takes the first number.
    kernel = np.concatenate([np.zeros([2, 2]), np.ones([2, 2]), np.eye(2)], axis=1)
    model.attention[0].queries_keys_values.set_weights([kernel])
    model.attention[0].residual.set_weights([np.array([[1.0, 0.0], [0.0, 0.0]])])
    model.head.set_weights([np.array([[1.0], [10.0], [100.0], [1000.0]])])
    for dense in (model.deep.first_of_item, model.deep.first_of_user):
        dense.set_weights([np.zeros_like(weight) for weight in dense.get_weights()])
    # The mean of (3, -1) and (1, 2) is (2, 0.5): fields (5, 0.5) and (3, 0.5).
    assert model(one_pair()).numpy() == pytest.approx([10.25 + 5 + 5 + 300 + 500])


def test_score_against_numpy():
    model, inputs = randomized(tiny_world.ranker(model="autoint", blocks=2, heads=2)), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    fields = start = side_by_side(parts)
    for block in model.attention:
        fields = attended(block, fields)
    start, items = start.reshape(18, -1), 6 * model.dim
    expected = linear_part(model, parts) + (fields.reshape(18, -1) @ model.head.kernel.numpy())[:, 0]
    expected += of_deep(model.deep, start[:, :items], start[:, items:])
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=1e-4)


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="heads is 4, which does not divide dim, 6. Choose one of 1, 2, 3, 6"):
        FieldAttention(dim=6, heads=4)
