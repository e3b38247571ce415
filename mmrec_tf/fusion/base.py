"""What every fusion shares: the mask contract, modality dropout and the learned stand-in for what is absent."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.errors import ConfigError

BALANCED_ROWS = 256
"""Rows of a batch whose balance is looked at: every look costs one fusion for each modality."""


class Fusion(tf_keras.layers.Layer):
    """Turns an item's modalities, of which some may be absent, into one vector.

    A missing photo is a fact the model sees, not a zero it mistakes for a photo: the absent modality's vector is
    replaced by one that the layer learns, and the mask goes on to the method. In training, present modalities are
    hidden at random, so that no single one is leant on. A row without any modality consists of stand-ins alone, so
    its fused vector is finite and learned.

    A subclass implements `fuse(features, masks)`, and where the method has such `project(features)` and
    `weigh(features, masks)`, for which it sets `weighs_modalities`.

    Args:
        dim: int. Width of the fused vector.
        modality_dropout: float in [0, 1). Chance of hiding a present modality while training. Defaults to 0.
        balance: float. Weight of `imbalance`, which is added by `add_loss` in training and keeps one modality from
            dominating. Defaults to 0.

    Call arguments:
        features: dict of `[batch, d_m]` float tensors, one per modality. Values that are not finite have no influence
            where the mask is False, and spread to the row's fused vector where it is True.
        masks: dict of `[batch]` bool tensors with the same keys.
        training: bool.
        returns: `fused`, `weights` for what `modality_weights` says, or `tokens` for what `modality_tokens` says.

    Returns:
        `[batch, dim]` float tensor.

    Raises:
        ValueError: if `features` and `masks` have different keys, or are empty.

    Reference: Neverova et al., ModDrop: adaptive multi-modal gesture recognition (2015), for modality dropout.
    """

    weighs_modalities = False

    def __init__(self, dim: int, modality_dropout: float = 0.0, balance: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.modality_dropout = modality_dropout
        self.balance = balance

    def build(self, input_shape):
        self.stand_ins = {
            name: self.add_weight(name=f"stand_in_{weight_name(name)}", shape=[shape[-1]], initializer="zeros")
            for name, shape in sorted(input_shape.items())
        }
        super().build(input_shape)

    def call(self, features, masks, training=False, returns="fused"):
        if not features or set(features) != set(masks):
            raise ValueError(
                f"fusion needs a mask for each modality; got features {sorted(features)} and masks {sorted(masks)}."
            )
        if training and self.modality_dropout > 0.0:
            masks = {
                name: tf.logical_and(mask, tf.random.uniform(tf.shape(mask)) >= self.modality_dropout)
                for name, mask in sorted(masks.items())
            }
        filled = {
            name: tf.where(masks[name][:, None], tf.cast(features[name], self.compute_dtype), self.stand_ins[name])
            for name in sorted(features)
        }
        if returns == "weights":
            return self.weigh(filled, masks)
        if returns == "tokens":
            return self.project(filled)
        if training and self.balance > 0.0 and len(masks) > 1:
            self.add_loss(self.balance * self.imbalance(filled, masks))
        return self.fuse(filled, masks)

    def imbalance(self, features: dict, masks: dict) -> tf.Tensor:
        """How unevenly a row's modalities contribute to its fused vector, a float32 scalar.

        A modality's contribution is what leaving it out changes, and their entropy falls as one of them dominates:

            c_m = |fuse(x) - fuse(x without m)|,   loss = mean over rows of log n - entropy(c / sum of c)

        with n the modalities that a row has; rows with fewer than two are not counted. 0 means that all contribute
        alike, log n that one alone does. Up to `BALANCED_ROWS` rows are looked at, drawn evenly.

        Args:
            features: `[batch, d_m]` by modality, stand-ins filled in.
            masks: `[batch]` bool by modality.

        Reference: after Gat et al., Removing bias in multi-modal classifiers: regularization by maximizing functional
        entropies (NeurIPS 2020), who measure contributions by the gradient.
        """
        rows = some_rows(next(iter(masks.values())), BALANCED_ROWS)
        if rows is not None:
            features, masks = (
                {name: tf.gather(values, rows) for name, values in group.items()} for group in (features, masks)
            )
        fused = tf.cast(self.fuse(features, masks), tf.float32)
        lengths = []
        for name in sorted(features):
            without = {**features, name: tf.zeros_like(features[name]) + self.stand_ins[name]}
            left = self.fuse(without, {**masks, name: tf.zeros_like(masks[name])})
            squared = tf.reduce_sum(tf.square(fused - tf.cast(left, tf.float32)), axis=1)
            # A modality that is absent, or that nothing depends on, has no direction to go by.
            lengths.append(tf.where(masks[name], tf.sqrt(squared + 1e-12), 0.0))
        shares = tf.stack(lengths, axis=1)
        shares /= tf.maximum(tf.reduce_sum(shares, axis=1, keepdims=True), 1e-6)
        count = tf.add_n([tf.cast(mask, tf.float32) for mask in masks.values()])
        entropy = -tf.reduce_sum(shares * tf.math.log(tf.maximum(shares, 1e-6)), axis=1)
        counted = tf.cast(count >= 2.0, tf.float32)
        lacking = counted * (tf.math.log(tf.maximum(count, 1.0)) - entropy)
        return tf.reduce_sum(lacking) / tf.maximum(tf.reduce_sum(counted), 1.0)

    def modality_weights(self, features: dict, masks: dict) -> dict[str, tf.Tensor]:
        """How much each modality counts in each row: what a report or a shopkeeper can read.

        Args:
            features, masks: as the layer is called with.

        Returns:
            Modality -> `[batch]` float32, which sum to 1 over the modalities. An absent modality has weight 0, unless
            none is there: then the weights are those of the stand-ins.

        Raises:
            ConfigError: if the method does not weigh modalities.
        """
        if not self.weighs_modalities:
            raise ConfigError(
                f"{type(self).__name__} mixes the modalities without weighing them. For weights by modality set "
                "fusion.method to weighted_sum, gated, attention, attention_pooling or cross_attention."
            )
        return self._ask(features, masks, "weights")

    def modality_tokens(self, features: dict, masks: dict) -> dict[str, tf.Tensor]:
        """Each modality alone, brought to the fused width by the method's own map.

        An alignment loss belongs here: on vectors that come frozen from a store it could only train maps of its own,
        while these are the ones that the fused vector is made of. Nothing is hidden, also in training.

        Args:
            features, masks: as the layer is called with.

        Returns:
            Modality -> `[batch, dim]`; those of absent modalities are made of the stand-ins.

        Raises:
            ConfigError: if the method has no such map.
        """
        if type(self).project is Fusion.project:
            raise ConfigError(f"{type(self).__name__} has no map for each modality alone: it implements no `project`.")
        return self._ask(features, masks, "tokens")

    def fuse(self, features: dict, masks: dict) -> tf.Tensor:
        """Fuses `[batch, d_m]` vectors, stand-ins filled in, to `[batch, dim]`."""
        raise NotImplementedError

    def weigh(self, features: dict, masks: dict) -> dict[str, tf.Tensor]:
        """The weights that `modality_weights` promises; `features` have their stand-ins filled in."""
        raise NotImplementedError

    def project(self, features: dict) -> dict[str, tf.Tensor]:
        """The tokens that `modality_tokens` promises; `features` have their stand-ins filled in."""
        raise NotImplementedError

    def _ask(self, features, masks, returns):
        # Every weight is made by the ordinary call, so that their order does not depend on what is asked first.
        if not self.built:
            self(features, masks)
        # Through `__call__`, which casts the variables as the dtype policy asks.
        return self(features, masks, returns=returns)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "modality_dropout": self.modality_dropout,
            "balance": self.balance,
        }


def some_rows(batch: tf.Tensor, most: int) -> tf.Tensor | None:
    """`[at most most]` int32 rows of a batch, drawn evenly; None for all of a batch that is known to have no more.

    A batch of a known size gives a known number of rows, which XLA needs.
    """
    size, drawn = batch.shape[0], most
    if size is None:
        size = tf.shape(batch)[0]
        drawn = tf.minimum(size, most)
    elif size <= most:
        return None
    return tf.random.uniform([drawn], maxval=size, dtype=tf.int32)


def project_by_rows(kernel: tf.Tensor, features: dict) -> dict[str, tf.Tensor]:
    """What each modality adds to a linear map of all of them laid side by side in alphabetical order.

    Args:
        kernel: `[at least the sum of d_m, dim]`.
        features: dict of `[batch, d_m]`.

    Returns:
        Modality -> `[batch, dim]`.
    """
    projected, start = {}, 0
    for name in sorted(features):
        width = features[name].shape[1]
        projected[name] = tf.matmul(features[name], kernel[start : start + width])
        start += width
    return projected
