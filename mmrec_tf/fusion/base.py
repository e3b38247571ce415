"""What every fusion shares: the mask contract, modality dropout and the learned stand-in for what is absent."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name


class Fusion(tf_keras.layers.Layer):
    """Turns an item's modalities, of which some may be absent, into one vector.

    A missing photo is a fact the model sees, not a zero it mistakes for a photo: the absent modality's vector is
    replaced by one that the layer learns, and the mask goes on to the method. In training, present modalities are
    hidden at random, so that no single one is leant on.

    A subclass implements `fuse(features, masks)`.

    Args:
        dim: int. Width of the fused vector.
        modality_dropout: float in [0, 1). Chance of hiding a present modality while training. Defaults to 0.

    Call arguments:
        features: dict of `[batch, d_m]` float tensors, one per modality.
        masks: dict of `[batch]` bool tensors with the same keys.
        training: bool.

    Returns:
        `[batch, dim]` float tensor.

    Raises:
        ValueError: if `features` and `masks` have different keys, or are empty.

    Reference: Neverova et al., ModDrop: adaptive multi-modal gesture recognition (2015), for modality dropout.
    """

    def __init__(self, dim: int, modality_dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.modality_dropout = modality_dropout

    def build(self, input_shape):
        self.stand_ins = {
            name: self.add_weight(name=f"stand_in_{weight_name(name)}", shape=[shape[-1]], initializer="zeros")
            for name, shape in sorted(input_shape.items())
        }
        super().build(input_shape)

    def call(self, features, masks, training=False):
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
        return self.fuse(filled, masks)

    def fuse(self, features: dict, masks: dict) -> tf.Tensor:
        """Fuses `[batch, d_m]` vectors, stand-ins filled in, to `[batch, dim]`."""
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "modality_dropout": self.modality_dropout}
