"""Shared bottom: several targets read the same hidden layers, each with a tower of its own."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.fields import flattened, with_repeated
from mmrec_tf.models.rankers.several_targets import SeveralTargets
from mmrec_tf.models.rankers.target_head import TargetTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SharedBottom(SeveralTargets):
    """The plainest network of several targets: one bottom, one tower for each.

        h = relu(W [v_1; ...; v_F] + b), and so on for `shared_layers`,   o_t = MLP_t(h)

    For targets that go together. Where they disagree they pull the shared layers to and fro; see `MMoE`.

    See `SeveralTargets` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int, at least `shared_layers`. Widths of the shared layers, then those of each tower.
        shared_layers: int. Defaults to 1.

    Reference: Caruana, Multitask Learning (1997).
    """

    title = "shared bottom"

    def __init__(self, users, items, dim, hidden, shared_layers=1, **kwargs):
        super().__init__(users, items, dim, hidden, **kwargs)
        self.shared_layers = shared_layers
        first, *others = self.hidden[:shared_layers]
        self.first_of_item = tf_keras.layers.Dense(first, use_bias=False, name="first_of_item")
        self.first_of_user = tf_keras.layers.Dense(first, name="first_of_user")
        self.shared = [tf_keras.layers.Dense(width, activation="relu") for width in others]
        self.towers = {
            name: TargetTower(self.hidden[shared_layers:], self.dropout, name=f"tower_{name}")
            for name in self.target_names
        }
        self.drop = tf_keras.layers.Dropout(self.dropout)

    def target_outputs(self, pairs, training):
        # The user's half is the same for a whole group of items, so it is worked out once for each user.
        item = self.first_of_item(flattened(pairs.item_vectors))
        output = tf.nn.relu(with_repeated(item, self.first_of_user(flattened(pairs.user_vectors))))
        for layer in self.shared:
            output = layer(self.drop(output, training=training))
        return {name: tower(output, training=training) for name, tower in self.towers.items()}

    def get_config(self):
        return {**super().get_config(), "shared_layers": self.shared_layers}
