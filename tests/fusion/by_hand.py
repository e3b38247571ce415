"""Fusions whose tokens are the vectors themselves, so that what is made of them can be worked out by hand."""

import numpy as np
import tensorflow as tf

from mmrec_tf.fusion.tokens import TokenFusion
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.two_tower import TwoTower
from tests import tiny_world

# Three rows: everything there, `b` absent, nothing there. The zeros of absent modalities must have no influence.
A = np.array([[1.0, 2.0], [1.0, 2.0], [9.0, 9.0]], np.float32)
B = np.array([[3.0, -2.0], [9.0, 9.0], [9.0, 9.0]], np.float32)
FEATURES = {"a": A, "b": B}
MASKS = {"a": np.array([True, True, False]), "b": np.array([True, False, False])}


def with_plain_tokens(fusion: TokenFusion, features=None, masks=None) -> TokenFusion:
    """Builds the fusion for vectors as wide as its tokens and makes its projections the identity."""
    features, masks = features or FEATURES, masks or MASKS
    fusion(features, masks)
    for projection in fusion.projections.values():
        projection.set_weights([np.eye(fusion.dim), np.zeros(fusion.dim)])
    return fusion


def set_stand_ins(fusion, **values) -> None:
    for name, value in values.items():
        fusion.stand_ins[name].assign(value)


def plain(weights: dict[str, tf.Tensor]) -> dict[str, list[float]]:
    """Weights by modality, rounded for comparison."""
    return {name: value.numpy().round(5).tolist() for name, value in weights.items()}


def randomized(layer, seed: int = 0):
    """Gives every weight of a built layer a random value, biases and stand-ins too."""
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(random.normal(scale=0.7, size=weight.shape))
    return layer


def tokens_of(fusion, features, masks) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's `[batch, modalities, dim]` tokens and which of them are attended, by the documented rules."""
    names = sorted(features)
    present = np.stack([masks[name] for name in names], axis=1)
    filled = [np.where(masks[name][:, None], features[name], fusion.stand_ins[name].numpy()) for name in names]
    maps = [fusion.projections[name] for name in names]
    tokens = [vectors @ one.kernel.numpy() + one.bias.numpy() for vectors, one in zip(filled, maps)]
    return np.stack(tokens, axis=1), present | ~present.any(axis=1, keepdims=True)


def three_modalities(rows: int = 6, seed: int = 3) -> tuple[dict, dict]:
    """Random vectors of widths 3, 4 and 2, with every pattern of absence among the first rows."""
    random = np.random.default_rng(seed)
    features = {
        name: random.normal(size=[rows, width]).astype(np.float32)
        for name, width in {"audio": 3, "image": 4, "text": 2}.items()
    }
    patterns = [(1, 1, 1), (1, 0, 1), (0, 1, 0), (0, 0, 0), (0, 1, 1), (1, 1, 0)]
    chosen = np.array([patterns[row % len(patterns)] for row in range(rows)], bool)
    return features, dict(zip(sorted(features), chosen.T))


def calm_two_tower(**fusion) -> TwoTower:
    """The tiny world's retrieval model with a fusion of its own; nothing is hidden in training."""
    calm = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}
    settings = tiny_world.config(retrieval=calm, fusion={"modality_dropout": 0.0, **fusion})
    tables = tiny_world.user_table(), tiny_world.item_table()
    return build_two_tower(settings, *tables, tiny_world.sequences().item_index)
