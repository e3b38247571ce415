"""Rankers and inputs to try them on."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers import ranker_class
from tests import tiny_world


def only_ids(name: str, history_length: int = 0, items: int = 2, **settings):
    """A ranker of width 2 that knows one user and `items - 1` items by their ids alone.

    The user is the field u = (0.5; 1, 2), its weight first, the first item i = (-0.25; 3, -1); the bias is 10.
    """
    sizes = (2, items)
    users, catalogue = [FeatureLookup(shapes={}, size=n, id_vocabulary_size=n, vocabulary_sizes={}) for n in sizes]
    users.id_index.assign(range(2))
    catalogue.id_index.assign(range(items))
    model = ranker_class(name)(users, catalogue, **{"dim": 2, **settings})
    model.create_weights(history_length)
    width = model.dim + 1
    model.user_fields.ids.embeddings.assign(np.array([[9, 9, 9], [0.5, 1, 2]])[:, :width])
    rest = np.full([items - 2, 3], 7.0)
    model.item_fields.ids.embeddings.assign(np.concatenate([[[9, 9, 9], [-0.25, 3, -1]], rest])[:, :width])
    model.bias.assign(10.0)
    return model


def one_pair(history=()) -> dict[str, tf.Tensor]:
    """The user beside the first item."""
    one = tf.constant([1])
    return {"user_index": one, "item_index": one, "history": tf.reshape(tf.constant(history, tf.int32), [1, -1])}


def pairs(group: int | None = 3, count: int = 6, seed: int = 2) -> dict[str, tf.Tensor]:
    """Users of the tiny world, with histories, beside items drawn from the whole catalogue."""
    shape = [count] if group is None else [count, group]
    # Every user's fifth interaction, so that there are four in the history.
    batch = tiny_world.ranking_examples(slice(4, 6 * count, 6))
    random = np.random.default_rng(seed)
    batch["item_index"] = random.integers(1, 31, shape).astype(np.int32)
    batch["label"] = random.integers(0, 2, shape).astype(np.float32)
    batch["weight"] = np.ones(shape, np.float32)
    return {name: tf.constant(array) for name, array in batch.items()}


def randomized(model, scale: float = 0.2, seed: int = 1):
    """The model with weights far from where training starts, so that all its parts matter."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign_add(scale * random.normal(size=weight.shape).astype(np.float32))
    return model


def with_trends(model, seed: int = 3):
    """The model with trends that differ everywhere, without which some of its weights would have nothing to weigh."""
    shape = model.trend_field.table.shape
    model.trend_field.set(np.random.default_rng(seed).uniform(size=shape).astype(np.float32))
    return model


def linear_part(model, parts) -> np.ndarray:
    """`[pairs]`: bias and weights of `Pairs`, the users' repeated."""
    return float(model.bias) + parts.item_weights.numpy().sum(1) + _for_group(parts, parts.user_weights).sum(1)


def side_by_side(parts) -> np.ndarray:
    """`[pairs, fields, dim]`: the embeddings of each pair, the item's first."""
    return np.concatenate([parts.item_vectors.numpy(), _for_group(parts, parts.user_vectors)], axis=1)


def _for_group(parts, values) -> np.ndarray:
    return np.repeat(values.numpy(), parts.item_vectors.shape[0] // parts.user_vectors.shape[0], axis=0)


def of_deep(layer, item: np.ndarray, user: np.ndarray) -> np.ndarray:
    """What a `DeepPart` makes of `[pairs, a]` and `[pairs, b]`, as one multilayer perceptron over both."""
    kernel = np.concatenate([layer.first_of_item.kernel.numpy(), layer.first_of_user.kernel.numpy()])
    hidden = np.concatenate([item, user], axis=1) @ kernel + layer.first_of_user.bias.numpy()
    for dense in layer.rest:
        hidden = np.maximum(hidden, 0.0) @ dense.kernel.numpy() + dense.bias.numpy()
    return hidden[:, 0]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
