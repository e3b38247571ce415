"""REINFORCE on a log that another policy has made."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.behaviour_policy import BehaviourPolicy
from mmrec_tf.losses.retrieval_loss import MASKED, RetrievalLoss


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ReinforceLoss(RetrievalLoss):
    """Makes rewarded items likely, whoever had put them in front of the user.

    A log says much of the items that were shown often and little of the others; learning to imitate it brings back
    what was shown, not what is liked. Here each example counts by how much likelier the model's own policy pi, the
    softmax over the catalogue, would choose its item than the policy beta that did; and, as k items are shown at a
    time, by how much its chance of being among them still depends on the score:

        loss = -w lambda log pi,   w = min(pi / beta, cap),   lambda = k (1 - pi)^(k - 1)

    w and lambda have no gradient. Without cap and with k = 1 the loss has the gradient of the reward that is expected
    when the model itself chooses. Rewards are the examples' weights, 0 or more.

    Args:
        top_k: int. Items that are shown at a time. Defaults to 10. With 1 all probability goes to the best item, and
            with more to as many that are good.
        cap: float. The most that an example counts; the lower, the less variance and the more of the log's bias.
            Defaults to 20.
        size: int. Number of item indices, 0 included; for `policy`, None without. Defaults to 0.
        dim: int. Width of the queries for a learned `BehaviourPolicy`; 0, the default, for a counted one.

    Call arguments:
        log_behaviour: `[batch]` float, log beta of the positives; None, the default, for an example that the model has
            chosen itself: w is 1.

    See `RetrievalLoss` for the other call arguments.

    Raises:
        ValueError: if `top_k` is below 1 or `cap` is not above 0.

    Reference: Chen et al., Top-K off-policy correction for a REINFORCE recommender system (WSDM 2019).
    """

    def __init__(self, top_k: int = 10, cap: float = 20.0, size: int = 0, dim: int = 0, **kwargs):
        super().__init__(**kwargs)
        if top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {top_k}.")
        if not cap > 0.0:
            raise ValueError(f"cap must be above 0, got {cap}.")
        self.top_k = top_k
        self.cap = cap
        self.size = size
        self.dim = dim
        self.policy = BehaviourPolicy(size, dim, name="policy") if size else None

    def call(self, positive, negatives, counted, log_expected=0.0, log_behaviour=None):
        positive, negatives, log_expected = (tf.cast(x, tf.float32) for x in (positive, negatives, log_expected))
        rest = tf.reduce_logsumexp(tf.where(counted, negatives - log_expected, MASKED), axis=1)
        log_chance = -tf.math.softplus(rest - positive)
        chance = tf.stop_gradient(tf.exp(log_chance))
        weight = tf.ones_like(chance)
        if log_behaviour is not None:
            # Capped before the exponential, which may overflow.
            log_weight = tf.stop_gradient(log_chance) - tf.cast(log_behaviour, tf.float32)
            weight = tf.exp(tf.minimum(log_weight, tf.math.log(self.cap)))
        shown = self.top_k * tf.pow(1.0 - chance, self.top_k - 1.0)
        return -weight * shown * log_chance

    def get_config(self):
        own = {"top_k": self.top_k, "cap": self.cap, "size": self.size, "dim": self.dim}
        return {**super().get_config(), **own}
