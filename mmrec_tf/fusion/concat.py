"""Fusion by concatenation."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.base import Fusion, project_by_rows


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ConcatFusion(Fusion):
    """Lays the modalities side by side and lets one linear map mix them.

    The plainest fusion, and the one that the others have to beat. The masks are laid beside the vectors, so that
    the map can tell a present modality from its stand-in:

        z = W [h_1; ...; h_M; mask_1; ...; mask_M] + b

    See `Fusion` for arguments and shapes.

    Example:

        >>> fusion = ConcatFusion(dim=8)
        >>> fusion({"text": tf.ones([2, 3])}, {"text": tf.constant([True, False])}).shape
        TensorShape([2, 8])
    """

    def build(self, input_shape):
        self.mix = tf_keras.layers.Dense(self.dim, name="mix")
        super().build(input_shape)

    def fuse(self, features, masks):
        present = [tf.cast(masks[name], self.compute_dtype)[:, None] for name in sorted(masks)]
        return self.mix(tf.concat([features[name] for name in sorted(features)] + present, axis=1))

    def project(self, features):
        return project_by_rows(tf.cast(self.mix.kernel, self.compute_dtype), features)
