"""Fusion by an autoencoder."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.fusion.base import Fusion, project_by_rows, some_rows
from mmrec_tf.fusion.tokens import inverse_length


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class EncoderDecoderFusion(Fusion):
    """Encodes the modalities jointly, and learns to give each of them back.

    Interactions alone teach a fusion only what tells apart the items that people have met. Having to reconstruct the
    modalities makes it keep the rest, which new items will need, and works on items nobody has met too:

        z = E2 gelu(E1 [x_1; ...; x_M; mask_1; ...; mask_M] + c) + b,   y_m = D_m z + a_m
        loss = reconstruction_weight * mean over m of mean over rows that have m of (1 - cos(y_m, x_m))

    In training the loss is added by `add_loss`, and so to the model's own. It asks for every modality the item
    really has, also for those that modality dropout hides from the encoder: these are predicted from the others. A
    row without any modality is encoded from its stand-ins and reconstructs nothing. A model that calls the layer more
    than once in a step adds one loss for each call.

    See `Fusion` for the other arguments and shapes.

    Args:
        reconstruction_weight: float. Weight of the reconstruction loss. Defaults to 0.1.
        reconstruction_rows: int. The most rows of a batch that are reconstructed, drawn at random from a larger one,
            because decoding costs as much as encoding. Defaults to 256.

    Example:

        >>> fusion = EncoderDecoderFusion(dim=8)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks, training=True).shape
        TensorShape([2, 8])
        >>> len(fusion.losses)
        1

    Reference: Ngiam et al., Multimodal deep learning (ICML 2011); there too, a modality is hidden from the encoder
    and reconstructed.
    """

    def __init__(
        self,
        dim: int,
        reconstruction_weight: float = 0.1,
        reconstruction_rows: int = 256,
        modality_dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.reconstruction_weight = reconstruction_weight
        self.reconstruction_rows = reconstruction_rows
        self.encode = tf_keras.layers.Dense(dim, activation="gelu", name="encode")
        self.mix = tf_keras.layers.Dense(dim, name="mix")

    def build(self, input_shape):
        self.decoders = {
            name: tf_keras.layers.Dense(shape[-1], name=f"decode_{weight_name(name)}")
            for name, shape in sorted(input_shape.items())
        }
        # Made here, because a model's weights are made and loaded by a call that does not train.
        for decoder in self.decoders.values():
            with tf.name_scope(decoder.name):
                decoder.build([None, self.dim])
        super().build(input_shape)

    def call(self, features, masks, training=False, returns="fused"):
        fused = super().call(features, masks, training=training, returns=returns)
        if returns == "fused" and training and self.reconstruction_weight > 0.0:
            self.add_loss(self.reconstruction_weight * self.reconstruction_loss(fused, features, masks))
        return fused

    def fuse(self, features, masks):
        present = [tf.cast(masks[name], self.compute_dtype)[:, None] for name in sorted(masks)]
        return self.mix(self.encode(tf.concat([features[name] for name in sorted(features)] + present, axis=1)))

    def project(self, features):
        return project_by_rows(tf.cast(self.encode.kernel, self.compute_dtype), features)

    def reconstruction_loss(self, fused: tf.Tensor, features: dict, masks: dict) -> tf.Tensor:
        """The mean of 1 - cos between each present modality and its reconstruction, a float32 scalar."""
        rows = some_rows(fused, self.reconstruction_rows)
        if rows is not None:
            fused = tf.gather(fused, rows)
            features = {name: tf.gather(vectors, rows) for name, vectors in features.items()}
            masks = {name: tf.gather(mask, rows) for name, mask in masks.items()}
        losses = [_mean_distance(self.decoders[name](fused), features[name], masks[name]) for name in sorted(features)]
        return tf.add_n(losses) / len(losses)

    def get_config(self):
        return {
            **super().get_config(),
            "reconstruction_weight": self.reconstruction_weight,
            "reconstruction_rows": self.reconstruction_rows,
        }


def _mean_distance(decoded, target, mask):
    """Mean of 1 - cos over the rows where the mask is True, 0 when there are none; in float32."""
    # What an absent modality holds may not be a number, and 0 * NaN is none either.
    target = tf.where(mask[:, None], tf.cast(target, tf.float32), 0.0)
    decoded = tf.cast(decoded, tf.float32)
    product = tf.reduce_sum(decoded * target, axis=1)
    cosine = product * inverse_length(decoded) * inverse_length(target)
    counted = tf.cast(mask, tf.float32)
    return tf.reduce_sum(counted * (1.0 - cosine)) / tf.maximum(tf.reduce_sum(counted), 1.0)
