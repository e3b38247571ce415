"""Fusions that first bring every modality to the same width."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion.base import Fusion


class TokenFusion(Fusion):
    """Projects each modality to a token of width `dim` by a linear map of its own, for a subclass to combine.

        t_m = W_m x_m + b_m

    Vectors of different encoders cannot be added or compared as they are; tokens can. The bias tells the token of one
    modality from that of another, as a position embedding does in a text.

    A subclass implements `combine(tokens, attended)`, and where it weighs them `weigh_tokens(tokens, attended)`.
    `attended` says which tokens count: those of the modalities that are present or, in a row without any, all, which
    are then made of the stand-ins.

    See `Fusion` for arguments and shapes.
    """

    def build(self, input_shape):
        self.projections = {
            name: tf_keras.layers.Dense(self.dim, name=f"project_{weight_name(name)}") for name in sorted(input_shape)
        }
        super().build(input_shape)

    def fuse(self, features, masks):
        return self.combine(self.tokens(features), _attended(masks))

    def weigh(self, features, masks):
        weights = tf.cast(self.weigh_tokens(self.tokens(features), _attended(masks)), tf.float32)
        return dict(zip(sorted(features), tf.unstack(weights, num=len(features), axis=1)))

    def project(self, features):
        return {name: self.projections[name](features[name]) for name in sorted(features)}

    def tokens(self, features: dict) -> tf.Tensor:
        """`[batch, modalities, dim]`, the modalities in alphabetical order."""
        return tf.stack(list(self.project(features).values()), axis=1)

    def combine(self, tokens: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
        """Combines `[batch, modalities, dim]` tokens to `[batch, dim]`; `attended` is `[batch, modalities]` bool."""
        raise NotImplementedError

    def weigh_tokens(self, tokens: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
        """`[batch, modalities]` weights that sum to 1 over the modalities."""
        raise NotImplementedError


def any_or_all(present: tf.Tensor) -> tf.Tensor:
    """`[batch, n]` bool: what is present, or everything in a row that has nothing, so that no row is left empty."""
    return tf.logical_or(present, tf.logical_not(tf.reduce_any(present, axis=1, keepdims=True)))


def masked_softmax(scores: tf.Tensor, attended: tf.Tensor, axis: int) -> tf.Tensor:
    """Softmax over the entries that are attended, which every row must have; worked out in float32.

    Args:
        scores: float tensor.
        attended: bool tensor that broadcasts to `scores`; where it is False the result is exactly 0.
        axis: int. What sums to 1.

    Returns:
        A tensor of the shape and dtype of `scores`.
    """
    # Far below any score, yet finite, so that no inf - inf arises in the softmax or its gradient.
    safe = tf.where(attended, tf.cast(scores, tf.float32), -1e9)
    # Written out, because on a CPU tf.nn.softmax takes three times as long along any axis but the last.
    exponents = tf.exp(safe - tf.stop_gradient(tf.reduce_max(safe, axis=axis, keepdims=True)))
    return tf.cast(exponents / tf.reduce_sum(exponents, axis=axis, keepdims=True), scores.dtype)


def masked_mean(tokens: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
    """`[batch, dim]` mean of the attended ones of `[batch, modalities, dim]` tokens."""
    counted = tf.cast(attended, tokens.dtype)
    return tf.einsum("bm,bmd->bd", counted / tf.reduce_sum(counted, axis=1, keepdims=True), tokens)


def inverse_length(vectors: tf.Tensor) -> tf.Tensor:
    """1 over the length of float32 vectors along the last axis, at most 1000, which bounds the gradient at zero."""
    return tf.math.rsqrt(tf.maximum(tf.reduce_sum(tf.square(vectors), axis=-1), 1e-6))


def check_heads(heads: int, dim: int) -> None:
    """Refuses a number of heads that does not divide the width, or leaves each a single number, which has no direction.

    Raises:
        ConfigError: with the numbers that do.
    """
    allowed = [number for number in range(1, 65) if dim % number == 0 and (dim // number > 1 or number == 1)]
    if heads not in allowed:
        raise ConfigError(
            f"fusion.heads is {heads}, which does not divide the width {dim} into parts of two or more (in a two-tower "
            f"model that is models.retrieval.dim). Choose one of {', '.join(map(str, allowed))}."
        )


def _attended(masks: dict) -> tf.Tensor:
    return any_or_all(tf.stack([masks[name] for name in sorted(masks)], axis=1))
