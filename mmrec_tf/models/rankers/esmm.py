"""ESMM: a purchase is learned from all that is shown, as a click and what comes after it."""

import tf_keras

from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened
from mmrec_tf.models.rankers.several_targets import SeveralTargets


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ESMM(SeveralTargets):
    """Conversions over the entire space: targets share the embeddings, and each has a network of its own.

        p(click) = sigmoid(y),   p(click and purchase) = sigmoid(y) sigmoid(y_purchase),   o_t = MLP_t([v_1; ...; v_F])

    Both are learned over all pairs; p(purchase | click) follows, for what is clicked and for what is not, and borrows
    the embeddings of the click, of which there are many more. From the configuration, every target that happens or not
    comes after the click, unless it says otherwise.

    See `SeveralTargets` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of each target's network.

    Reference: Ma et al., Entire space multi-task model: an effective approach for estimating post-click conversion rate
    (SIGIR 2018).
    """

    title = "ESMM"

    def __init__(self, users, items, dim, hidden, **kwargs):
        super().__init__(users, items, dim, hidden, **kwargs)
        self.networks = {name: DeepPart(self.hidden, self.dropout, name=f"deep_{name}") for name in self.target_names}

    def target_outputs(self, pairs, training):
        item, user = flattened(pairs.item_vectors), flattened(pairs.user_vectors)
        return {name: network(item, user, training=training) for name, network in self.networks.items()}
