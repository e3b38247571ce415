"""BST: against a plain masked Transformer over each history with one item at its end."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.rankers.bst import Places, TargetBlock
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, of_deep, one_pair, only_ids, pairs, randomized, softmax

RANDOM = np.random.default_rng(0)
STEPS, TARGET = (RANDOM.normal(size=shape).astype(np.float32) for shape in ([2, 4, 6], [2, 3, 6]))
PRESENT = np.array([[False, False, True, True], [True, True, True, True]])


def normalised(layer, x: np.ndarray) -> np.ndarray:
    x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return x * layer.gamma.numpy() + layer.beta.numpy()


def dense(layer, x: np.ndarray) -> np.ndarray:
    return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0.0)


def transformed(block, sequence: np.ndarray) -> np.ndarray:
    """`[n, dim]` after the block: the last looks at all, the others do not look at the last."""
    count, dim = sequence.shape
    allowed = np.ones([count, count], bool)
    allowed[:-1, -1] = False
    width = dim // block.heads
    maps = dense(block.queries_keys_values, normalised(block.normalize_attention, sequence))
    maps = maps.reshape(count, 3, block.heads, width)
    heads = []
    for head in range(block.heads):
        query, key, value = (maps[:, part, head] for part in range(3))
        heads.append(softmax(np.where(allowed, query @ key.T / np.sqrt(width), -np.inf)) @ value)
    sequence = sequence + dense(block.attended_map, np.concatenate(heads, axis=1))
    wide = dense(block.widen, normalised(block.normalize_transform, sequence))
    return sequence + dense(block.narrow, 0.5 * wide * (1 + erf(wide / np.sqrt(2))))


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: TargetBlock(dim=6, heads=2),
        (STEPS, TARGET),
        tmp_path,
        call_arguments={"present": PRESENT},
        expected_shape=((2, 4, 6), (2, 3, 6)),
    )


def test_places_pass_the_layer_checks(tmp_path):
    check_layer(Places, (STEPS, TARGET), tmp_path, expected_shape=((2, 4, 6), (2, 3, 6)))


def test_places_by_hand():
    places = Places()
    places((STEPS, TARGET))
    places.embeddings.assign(np.arange(5.0)[:, None] * np.ones(6))
    steps, target = places((np.zeros_like(STEPS), np.zeros_like(TARGET)))
    assert steps[..., 0].numpy().tolist() == [[0, 1, 2, 3]] * 2 and target[..., 0].numpy().tolist() == [[4, 4, 4]] * 2


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_block_against_a_masked_transformer(heads):
    block = TargetBlock(dim=6, heads=heads)
    steps, target = block((STEPS, TARGET), PRESENT)
    for row, place in np.ndindex(2, 3):
        there = PRESENT[row]
        expected = transformed(block, np.concatenate([STEPS[row][there], TARGET[row, place][None]]))
        np.testing.assert_allclose(steps[row].numpy()[there], expected[:-1], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(target[row, place], expected[-1], rtol=1e-3, atol=1e-4)


def test_an_item_without_a_history_attends_to_itself():
    block = TargetBlock(dim=6)
    steps, target = block((STEPS, TARGET), np.zeros_like(PRESENT))
    assert np.isfinite(steps.numpy()).all()
    np.testing.assert_allclose(target[0, 0], transformed(block, TARGET[0, :1])[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_no_item_at_hand_is_an_empty_answer(batch):
    model = tiny_world.ranker(model="bst")
    shapes = {"user_index": [None], "history": [None, tiny_world.HISTORY], "item_index": [None, None]}
    # In a graph, as it is served, where the sizes are not known before.
    scores = tf.function(model, input_signature=[{name: tf.TensorSpec(of, tf.int32) for name, of in shapes.items()}])
    asked = {"user_index": [batch], "history": [batch, tiny_world.HISTORY], "item_index": [batch, 0]}
    assert scores({name: tf.ones(of, tf.int32) for name, of in asked.items()}).shape == (batch, 0)


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="heads is 4, which does not divide dim, 6. Choose one of 1, 2, 3, 6"):
        TargetBlock(dim=6, heads=4)


def test_score_by_hand():
    model = only_ids("bst", history_length=1, items=3, hidden=[], heads=1)
    model.history_fields.ids.embeddings.assign([[9, 9], [3, 1], [0, 0]])
    block = model.transformer[0]
    for layer in (block.attended_map, block.narrow):
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    model.places.embeddings.assign([[7, 7], [0, 4]])
    # A block that adds nothing leaves the item at hand at its place, (3, 5), normalised to (-1, 1).
    model.deep.first_of_item.set_weights([np.array([[0.0], [0.0], [1.0], [10.0]])])
    model.deep.first_of_user.set_weights([np.zeros([2, 1]), np.zeros(1)])
    assert model(one_pair([2])).numpy() == pytest.approx([10.25 - 1 + 10], rel=1e-4)


def test_score_against_numpy():
    model, inputs = randomized(tiny_world.ranker(model="bst", blocks=2)), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    history, group = inputs["history"].numpy(), inputs["item_index"].numpy()
    ids = model.items.id_index.numpy()
    steps, target = (
        model.history_fields(tf.constant(index), tf.constant(ids[index])).numpy().sum(axis=2)
        for index in (history, group)
    )
    places = model.places.embeddings.numpy()
    states = np.zeros([6, 3, 4])
    for row, place in np.ndindex(6, 3):
        there = history[row] > 0
        sequence = np.concatenate([(steps[row] + places[:-1])[there], [target[row, place] + places[-1]]])
        for block in model.transformer:
            sequence = transformed(block, sequence)
        states[row, place] = normalised(model.normalize, sequence[-1])
    item = np.concatenate([parts.item_vectors.numpy().reshape(18, -1), states.reshape(18, 4)], axis=1)
    user = np.repeat(parts.user_vectors.numpy().reshape(6, -1), 3, axis=0)
    expected = linear_part(model, parts) + of_deep(model.deep, item, user)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=2e-3)


def test_works_without_histories():
    model = only_ids("bst", hidden=[3])
    assert np.isfinite(model(one_pair()).numpy()).all()
