"""DIN: its attention to the history against NumPy, and what the history is made of."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.rankers.din import TargetAttention
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, of_deep, one_pair, only_ids, pairs, randomized

RANDOM = np.random.default_rng(0)
STEPS, TARGET = (RANDOM.normal(size=shape).astype(np.float32) for shape in ([2, 4, 3], [2, 5, 3]))
PRESENT = np.array([[False, False, True, True], [True, True, True, True]])


def attended(layer, steps, target, present) -> np.ndarray:
    """One item of one history with one item at hand at a time."""
    output = np.zeros_like(target)
    kernels = [dense.kernel.numpy() for dense in (layer.of_step, layer.of_target, layer.of_both)]
    for row, place in np.ndindex(*target.shape[:2]):
        for j in np.flatnonzero(present[row]):
            parts = steps[row, j], target[row, place], steps[row, j] * target[row, place]
            seen = np.maximum(sum(x @ kernel for x, kernel in zip(parts, kernels)) + layer.of_step.bias.numpy(), 0.0)
            for dense in layer.rest:
                seen = np.maximum(seen @ dense.kernel.numpy() + dense.bias.numpy(), 0.0)
            weight = seen @ layer.judge.kernel.numpy()[:, 0] + layer.judge.bias.numpy()[0]
            output[row, place] += weight * steps[row, j]
    return output


def test_passes_the_layer_checks(tmp_path):
    arguments = {"present": PRESENT}
    check_layer(
        lambda: TargetAttention([6, 4]), (STEPS, TARGET), tmp_path, call_arguments=arguments, expected_shape=(2, 5, 3)
    )


@pytest.mark.parametrize("hidden", [[8], [6, 4]])
def test_attention_against_numpy(hidden):
    layer = TargetAttention(hidden)
    found = layer((STEPS, TARGET), PRESENT)
    np.testing.assert_allclose(found, attended(layer, STEPS, TARGET, PRESENT), rtol=1e-3, atol=1e-5)


def test_what_stands_at_padding_has_no_influence():
    layer = TargetAttention()
    other = np.where(PRESENT[..., None], STEPS, 100.0).astype(np.float32)
    np.testing.assert_allclose(layer((STEPS, TARGET), PRESENT), layer((other, TARGET), PRESENT), atol=1e-5)
    assert not layer((STEPS, TARGET), np.zeros_like(PRESENT)).numpy().any()


def test_needs_a_width():
    with pytest.raises(ValueError, match="one width or more"):
        TargetAttention([])


def test_score_by_hand():
    model = only_ids("din", history_length=2, items=4, hidden=[], attention_hidden=[1])
    # As the history is embedded: the item at hand (1, 1), and items (2, 0) and (0, -5).
    model.history_fields.ids.embeddings.assign([[9, 9], [1, 1], [2, 0], [0, -5]])
    model.attention.of_step.set_weights([np.zeros([2, 1]), np.array([1.0])])
    model.attention.of_target.set_weights([np.zeros([2, 1])])
    model.attention.of_both.set_weights([np.ones([2, 1])])
    model.attention.judge.set_weights([np.array([[10.0]]), np.array([0.5])])
    model.deep.first_of_item.set_weights([np.array([[0.0], [0.0], [1.0], [100.0]])])
    model.deep.first_of_user.set_weights([np.zeros([2, 1]), np.zeros(1)])
    # relu(2 + 1) * 10 + 0.5 = 30.5 and relu(-5 + 1) * 10 + 0.5 = 0.5: the interest is (61, -2.5).
    assert model(one_pair([2, 3])).numpy() == pytest.approx([10.25 + 61 - 250])
    assert model(one_pair([0, 2])).numpy() == pytest.approx([10.25 + 61])


def test_score_against_numpy():
    model, inputs = randomized(tiny_world.ranker(model="din")), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    history, group = inputs["history"], inputs["item_index"]
    ids = model.items.id_index.numpy()
    steps = model.history_fields(history, tf.constant(ids[history])).numpy().sum(axis=2)
    target = model.history_fields(group, tf.constant(ids[group])).numpy().sum(axis=2)
    # Six fields of the item and its trend, three of the user: the history is none of its own.
    assert (parts.item_vectors.shape[1], parts.user_vectors.shape[1], steps.shape) == (7, 3, (6, 5, 4))
    interest = attended(model.attention, steps, target, history.numpy() > 0).reshape(18, 4)
    item = np.concatenate([parts.item_vectors.numpy().reshape(18, -1), interest], axis=1)
    user = np.repeat(parts.user_vectors.numpy().reshape(6, -1), 3, axis=0)
    expected = linear_part(model, parts) + of_deep(model.deep, item, user)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=1e-3)


def test_history_is_read_by_its_media():
    model, inputs = randomized(tiny_world.ranker(model="din")), pairs()
    before = model(inputs).numpy()
    # New items, which no id tells.
    inputs["history"] = tf.fill([6, 5], 29)
    new = model(inputs).numpy()
    model.items.tables["vectors"]["text"].assign(model.items.tables["vectors"]["text"] * 2.0)
    inputs["item_index"] = tf.fill([6, 3], tiny_world.WITHOUT_MODALITIES + 1)
    other = model(inputs).numpy()
    model.items.tables["masks"]["text"].assign(tf.zeros(31, tf.bool))
    assert np.abs(before - new).max() > 1e-3 and np.abs(model(inputs).numpy() - other).max() > 1e-3


def test_works_without_histories():
    model = only_ids("din", hidden=[3])
    assert np.isfinite(model(one_pair()).numpy()).all()
