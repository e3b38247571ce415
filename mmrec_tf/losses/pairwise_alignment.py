"""Alignment between any pairs of an item's modalities."""

from itertools import combinations

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.losses.alignment_registry import build_alignment


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PairwiseAlignment(tf_keras.layers.Layer):
    """Aligns pairs of modalities of the same items, and sums their losses to stand beside the recommendation loss.

        loss = weight * sum over pairs (m, n) of alignment(x_m, x_n)

    Each pair has a loss of its own, with its own projections and temperature. On vectors that nothing else trains,
    the projections are all that learns; to align what a fusion is made of, give it `Fusion.modality_tokens`.

    Args:
        method: str. Name of a registered alignment loss. Defaults to `contrastive`.
        pairs: list of pairs of modalities; every two when None (the default).
        weight: float. Defaults to 0.1.
        options: dict. Further arguments of the method, such as `dim` (None for vectors of one width).

    Call arguments:
        features: dict of `[batch, d_m]` float tensors.
        masks: dict of `[batch]` bool tensors with the same keys.
        ids: `[batch]` int tensor of the items, or None when the batch holds every item once.

    Returns:
        The weighted sum, a float32 scalar.

    Raises:
        ConfigError: for an unknown method, a pair that names a modality the items lack, or a pair of one with itself.

    Example:

        >>> align = PairwiseAlignment("contrastive", pairs=[["image", "text"]])
        >>> there = tf.constant([True, True])
        >>> features = {"image": tf.eye(2, 5), "text": tf.eye(2, 3)}
        >>> align(features, masks={"image": there, "text": there}).shape
        TensorShape([])
    """

    def __init__(
        self,
        method: str = "contrastive",
        pairs: list[list[str]] | None = None,
        weight: float = 0.1,
        options: dict | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.method = method
        self.pairs = None if pairs is None else [list(pair) for pair in pairs]
        self.weight = weight
        self.options = dict(options or {})
        for pair in self.pairs or []:
            if len(set(pair)) != 2 or len(pair) != 2:
                raise ConfigError(f"alignment pair {pair} must name two different modalities.")
        build_alignment(method, **self.options)

    def build(self, input_shape):
        names = sorted(input_shape)
        for pair in self.pairs or []:
            for name in pair:
                if name not in names:
                    raise ConfigError(
                        f"alignment pair {pair}: {name!r} is no modality of the items.{suggestion(name, names)} "
                        f"Allowed: {', '.join(names)}."
                    )
        self.chosen = self.pairs if self.pairs is not None else [list(pair) for pair in combinations(names, 2)]
        self.alignments = [build_alignment(self.method, **self.options) for _ in self.chosen]
        super().build(input_shape)

    def call(self, features, masks, ids=None):
        losses = [
            alignment((features[one], features[other]), masks=(masks[one], masks[other]), ids=ids)
            for (one, other), alignment in zip(self.chosen, self.alignments)
        ]
        return self.weight * (tf.add_n(losses) if losses else tf.constant(0.0))

    def get_config(self):
        return {
            **super().get_config(),
            "method": self.method,
            "pairs": None if self.pairs is None else [list(pair) for pair in self.pairs],
            "weight": self.weight,
            "options": dict(self.options),
        }
