"""DCN v2: crosses of the fields, layer by layer, beside a deep network."""

import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CrossNetwork(tf_keras.layers.Layer):
    """Multiplies a vector with weighted sums of itself, one degree more with each layer.

        x_(l+1) = x_0 * (U_l V_l x_l + b_l) + x_l

    Args:
        layers: int. Defaults to 3.
        rank: int. Width between U and V; from half the width of x_0 on, where that saves nothing, one full matrix
            stands for both. None, the default, for a quarter of the width.

    Call arguments:
        inputs: `[rows, width]` float tensor x_0.

    Returns:
        `[rows, width]` float tensor, the last x.

    Reference: Wang et al., DCN V2: improved deep & cross network and practical lessons for web-scale learning to rank
    systems (WWW 2021).
    """

    def __init__(self, layers: int = 3, rank: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers
        self.rank = rank

    def build(self, input_shape):
        width = input_shape[-1]
        rank = max(width // 4, 1) if self.rank is None else self.rank
        # Glorot's initial weights instead of the layer's own fixed size, which a wide x_0 would make explode.
        options = {
            "projection_dim": rank if 2 * rank < width else None,
            "kernel_initializer": "glorot_uniform",
        }
        self.crosses = [tfrs.layers.dcn.Cross(**options, name=f"cross_{place}") for place in range(self.layers)]
        super().build(input_shape)

    def call(self, inputs):
        output = inputs
        for cross in self.crosses:
            output = cross(inputs, output)
        return output

    def get_config(self):
        return {**super().get_config(), "layers": self.layers, "rank": self.rank}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class DCN(Ranker):
    """Lets the embeddings cross each other to a stated degree, beside a deep network.

        y = b + sum_f w_f + w . cross([v_1; ...; v_F]) + MLP([v_1; ...; v_F])

    with the cross of `CrossNetwork`.

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.
        cross_layers, cross_rank: see `CrossNetwork`.

    Reference: Wang et al., DCN V2: improved deep & cross network and practical lessons for web-scale learning to rank
    systems (WWW 2021).
    """

    title = "DCN v2"

    def __init__(self, users, items, dim, hidden, dropout=0.0, cross_layers=3, cross_rank=None, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.cross_layers = cross_layers
        self.cross_rank = cross_rank
        self.cross = CrossNetwork(cross_layers, cross_rank, name="cross")
        self.deep = DeepPart(self.hidden, dropout, name="deep")
        self.head = tf_keras.layers.Dense(1, use_bias=False, dtype="float32", name="head")

    def interactions(self, pairs, training):
        crossed = self.cross(flattened(pairs.vectors()))
        deep = self.deep(flattened(pairs.item_vectors), flattened(pairs.user_vectors), training=training)
        return self.head(crossed)[:, 0] + deep

    def get_config(self):
        own = {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "cross_layers": self.cross_layers,
            "cross_rank": self.cross_rank,
        }
        return {**super().get_config(), **own}
