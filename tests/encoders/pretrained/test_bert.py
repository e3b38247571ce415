"""BERT against the same arithmetic in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf, softmax

from mmrec_tf.encoders.adapters import is_adapter_weight, own_weights
from mmrec_tf.encoders.pretrained.bert import BertBlock, BertEncoder
from tests.layer_checks import check_layer

WIDTH, HEADS, INNER, BLOCKS, WORDS, PLACES = 8, 2, 12, 2, 11, 7


@pytest.fixture
def state():
    """Random weights under Hugging Face's names."""
    random = np.random.default_rng(0)

    def draw(*shape):
        return random.normal(size=shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": draw(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": draw(2, WIDTH),
        "embeddings.LayerNorm.weight": draw(WIDTH),
        "embeddings.LayerNorm.bias": draw(WIDTH),
    }
    for block in range(BLOCKS):
        dense = {name: (WIDTH, WIDTH) for name in ("self.query", "self.key", "self.value", "output.dense")}
        shapes = {f"attention.{name}": shape for name, shape in dense.items()}
        shapes |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
        shapes |= {"attention.output.LayerNorm": (WIDTH,), "output.LayerNorm": (WIDTH,)}
        for name, shape in shapes.items():
            tensors[f"encoder.layer.{block}.{name}.weight"] = draw(*shape) / 2
            tensors[f"encoder.layer.{block}.{name}.bias"] = draw(shape[0])
    return tensors


def by_hand(state, ids):
    """BERT's equations for one sequence without padding, one head at a time."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    def dense(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + state["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for block in range(BLOCKS):
        at = f"encoder.layer.{block}"
        query, key, value = (dense(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        size = WIDTH // HEADS
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            heads.append(softmax(query[:, part] @ key[:, part].T / np.sqrt(size), axis=-1) @ value[:, part])
        x = norm(
            x + dense(np.concatenate(heads, -1), f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm"
        )
        inner = dense(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
        x = norm(x + dense(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


def make_encoder():
    return BertEncoder(WORDS, PLACES, WIDTH, HEADS, INNER, BLOCKS)


def test_the_equations(state):
    encoder = make_encoder()
    encoder.load_hugging_face(state)
    first, second = [3, 1, 4, 1, 5], [9, 2]
    found = encoder(tf.constant([first, [*second, 0, 0, 0]]), tf.constant([[1] * 5, [1, 1, 0, 0, 0]])).numpy()
    np.testing.assert_allclose(found[0], by_hand(state, first), rtol=1e-4, atol=1e-5)
    # The padding takes no part: the shorter sequence comes out as if it were alone.
    np.testing.assert_allclose(found[1, :2], by_hand(state, second), rtol=1e-4, atol=1e-5)


def test_loading_names_what_is_missing(state):
    del state["encoder.layer.1.output.dense.bias"]
    with pytest.raises(KeyError, match="encoder.layer.1.output.dense.bias"):
        make_encoder().load_hugging_face(state)
    with pytest.raises(ValueError, match="shape"):
        BertEncoder(WORDS + 1, PLACES, WIDTH, HEADS, INNER, BLOCKS).load_hugging_face(state)


def test_dropout_only_in_training(state):
    encoder = make_encoder()
    encoder.load_hugging_face(state)
    ids, mask = tf.constant([[1, 2, 3]]), tf.ones([1, 3])
    np.testing.assert_array_equal(encoder(ids, mask), encoder(ids, mask, training=False))
    assert np.abs(encoder(ids, mask, training=True) - encoder(ids, mask)).max() > 0.01


def test_encoder_as_a_layer(tmp_path):
    check_layer(
        lambda: BertEncoder(WORDS, PLACES, WIDTH, HEADS, INNER, blocks=1),
        np.array([[3, 1, 4], [1, 5, 9]], np.int32),
        tmp_path,
        call_arguments={"mask": np.array([[1, 1, 1], [1, 1, 0]], np.float32)},
        expected_shape=(2, 3, WIDTH),
    )


def test_block_as_a_layer(tmp_path):
    check_layer(
        lambda: BertBlock(WIDTH, HEADS, INNER),
        np.random.default_rng(0).normal(size=(2, 3, WIDTH)).astype(np.float32),
        tmp_path,
        call_arguments={"bias": np.zeros((2, 1, 1, 3), np.float32)},
        expected_shape=(2, 3, WIDTH),
    )


@pytest.mark.parametrize("adapter", ["lora", "bottleneck"])
def test_adapters_change_nothing_at_first(state, adapter):
    ids, mask = tf.constant([[3, 1, 4, 1, 5]]), tf.ones([1, 5])
    plain, adapted = make_encoder(), BertEncoder(WORDS, PLACES, WIDTH, HEADS, INNER, BLOCKS, adapter=adapter, rank=2)
    plain.load_hugging_face(state)
    adapted(ids, mask)
    added = [weight for weight in adapted.weights if is_adapter_weight(weight)]
    for weight, value in zip(own_weights(adapted.weights), plain.weights, strict=True):
        weight.assign(value)
    np.testing.assert_allclose(adapted(ids, mask), plain(ids, mask), atol=1e-5)
    # Two matrices for each of 6 dense layers, or two with their biases behind the block.
    assert len(added) == BLOCKS * (12 if adapter == "lora" else 4)
    for weight in added:
        weight.assign_add(tf.ones_like(weight))
    assert np.abs(adapted(ids, mask) - plain(ids, mask)).max() > 0.01


def test_unknown_adapter():
    with pytest.raises(ValueError, match="'prefix' is unknown. Allowed: lora, bottleneck"):
        BertBlock(8, 2, 12, adapter="prefix")


def test_a_seed_decides_what_is_dropped():
    block = BertBlock(WIDTH, HEADS, INNER, dropout=0.5)
    vectors, bias = tf.random.normal([2, 3, WIDTH]), tf.zeros([2, 1, 1, 3])
    one, same, other = (block(vectors, bias, training=True, seed=tf.constant([seed, 1])) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="3 heads cannot share a width of 8"):
        BertBlock(8, 3, 12)
