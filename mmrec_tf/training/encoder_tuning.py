"""The model that lets an encoder learn from the interactions: a trained two-tower model with the encoder in it."""

import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.tuning import TuningPlan
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.two_tower import TwoTower

_MASKED = -1e9


class EncoderTuning(LossScaledModel):
    """Tunes an encoder by what its vectors are for: finding the items that a user chose.

    Encoding is far dearer than all else in a step, so few items are encoded, and each is used well: it is what several
    of its users chose, and stands against the other items of the batch for all users of the batch.

        loss = - mean_(b, u) log softmax_j (cos(query(u), candidate(j)) / temperature),   at j = b, u a user of item b

    The candidates' ids are hidden: what an id explains, the content need not, and new items have none. Nor does their
    popularity enter, as items come evenly and not as often as they are chosen. What a user is known to have chosen
    besides is left out: recommendations leave it out too, and telling a user's own items apart is learned by heart.

    All candidates are encoded in the step. Stored vectors of the rest of the catalogue would be more negatives for
    nothing, but the positive is always fresh and they are not: the encoder then learns to give whatever is fresh a
    higher score, which lowers the loss and finds nothing. It did so where this was tried, also with the stored vectors
    renewed after each step.

    Args:
        retrieval: a trained `TwoTower`. It stays as it is: towers that learn too learn the few examples by heart.
        plan: the encoder and which of its weights learn.
        feature: str. The item feature that the encoder encodes.
        centre, scale: the feature's constants in the items' `FeatureTable`.
        accumulate: int. Parts that a batch is worked through in, each with its own candidates; their gradients are
            added up. Defaults to 1.

    Call arguments:
        inputs: dict with `item_index` `[batch]`, `user_index` `[batch, users]` and `history` `[batch, users, length]`
            of users who chose it, all int32, `is_known` `[batch, users, batch]` bool (whether training has the user
            with each item of the batch), and `content`, what `Encoder.prepare` gives of the items.
    """

    def __init__(
        self, retrieval: TwoTower, plan: TuningPlan, feature: str, centre, scale, accumulate: int = 1, **kwargs
    ):
        super().__init__(**kwargs)
        self.retrieval = retrieval
        self.encode = _Encode(plan.encoder)
        self.feature = feature
        self.accumulate = accumulate
        self._centre, self._scale = tf.constant(centre, tf.float32), tf.constant(scale, tf.float32)
        # In a function's keeping, so that Keras counts no weight twice.
        self._learning = lambda: list(plan.weights.values())

    @property
    def trainable_weights(self):
        """The weights that learn, in the order of the plan's rates."""
        return self._learning()

    def compute_loss(self, inputs, training=False):
        item_index, user_index = inputs["item_index"], inputs["user_index"]
        size, users = tf.shape(user_index)[0], tf.shape(user_index)[1]
        vectors = self.vectors(inputs["content"], training)
        candidates = self.retrieval.place_by_content(item_index, {self.feature: vectors}, training=training)
        history = tf.reshape(inputs["history"], [size * users, inputs["history"].shape[2]])
        queries = self.retrieval.embed_query(tf.reshape(user_index, [-1]), history, training=training)[
            :, : self.retrieval.dim
        ]
        scores = tf.matmul(queries, candidates, transpose_b=True) / self.retrieval.temperature
        labels = tf.repeat(tf.range(size), users)
        own = tf.gather(item_index, labels)
        others = (own[:, tf.newaxis] == item_index) | tf.reshape(inputs["is_known"], [size * users, size])
        others &= ~tf.one_hot(labels, size, on_value=True, off_value=False, dtype=tf.bool)
        scores = tf.where(others, _MASKED, scores)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))

    def vectors(self, content, training=False) -> tf.Tensor:
        """`[batch, width]` float32: the items' vectors as the towers take them, centred and scaled."""
        return (self.encode(content, training=training) - self._centre) / self._scale

    def train_step(self, inputs):
        if self.accumulate == 1:
            loss, gradients = self._gradients(inputs)
        else:
            loss, gradients = self._added_up(inputs)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
        self.mean_loss.update_state(loss)
        return {"loss": self.mean_loss.result()}

    def test_step(self, inputs):
        self.mean_loss.update_state(self.compute_loss(inputs, training=False))
        return {"loss": self.mean_loss.result()}

    def _gradients(self, inputs):
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
        weights = self.trainable_weights
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _added_up(self, inputs):
        """Loss and gradients as means over the parts of the batch, one part in memory at a time."""
        parts = tf.nest.map_structure(lambda value: self._in_parts(value, axis=0), inputs)

        def add(part, loss, gradients):
            taken = tf.nest.map_structure(lambda value: value[part], parts)
            is_known = self._in_parts(taken["is_known"], axis=2)[:, :, part]
            more_loss, more = self._gradients({**taken, "is_known": is_known})
            added = [old + new / self.accumulate for old, new in zip(gradients, more)]
            return part + 1, loss + more_loss / self.accumulate, added

        start = (tf.constant(0), tf.constant(0.0), [tf.zeros_like(weight) for weight in self.trainable_weights])
        _, loss, gradients = tf.while_loop(lambda part, *_: part < self.accumulate, add, start, parallel_iterations=1)
        return loss, gradients

    def _in_parts(self, value, axis):
        """The axis that counts the batch's examples as two: parts, and examples in each."""
        shape = tf.shape(value)
        return tf.reshape(value, tf.concat([shape[:axis], [self.accumulate, -1], shape[axis + 1 :]], axis=0))


class _Encode(tf_keras.layers.Layer):
    """Calls an encoder on prepared content as a layer, which brings its weights to the precision it computes in."""

    def __init__(self, encoder: Encoder):
        super().__init__(autocast=False, dtype=encoder.dtype_policy)
        self.encoder = encoder

    def call(self, content, training=False):
        return self.encoder.encode(content, training=training)
