"""The model that lets an encoder learn from the interactions: a trained two-tower model with one encoder in it, live."""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.tuning import TuningPlan
from mmrec_tf.models.two_tower import TwoTower

_MASKED = -1e9


class EncoderTuning(tfrs.Model):
    """Tunes an encoder by what its vectors are for: finding the items that a user chose.

    Encoding is far dearer than all else in a step, so few items are encoded, and each is used well: it is the positive
    of one user, and stands against the other items of the batch and against a large sample of the catalogue, whose
    stored vectors cost almost nothing.

        loss = - mean_b log softmax_j (score(u_b, j) / temperature - log q(j)),   at j = the item of example b

    Items are drawn evenly, not as often as they are chosen, so with the two-tower model's logQ correction the same
    scores are right here as in its own training. A stored copy of an item of the batch is left out, as is what is an
    example's own item a second time.

    After a step the items' new vectors take the place of the stored ones, so that these are never older than an epoch.

    Args:
        retrieval: a trained `TwoTower`; its stored vectors change, and its weights where `tower_rate` is not 0.
        plan: the encoder and which of its weights learn.
        feature: str. The item feature that the encoder encodes.
        centre, scale: the feature's constants in the items' `FeatureTable`.
        tower_rate: float. Share of the learning rate that the towers learn at; 0, the default, for not at all.
        accumulate: int. Parts that a batch is worked through in; their gradients are added up. Defaults to 1.

    Call arguments:
        inputs: dict with `user_index` `[batch]`, `history` `[batch, length]`, `item_index` `[batch]`, `negatives`
            `[sample]`, all int32, and `content`, what `Encoder.prepare` gives of the items.

    Reference: Wang et al., Cross-Batch Memory for Embedding Learning (2020), for the stored vectors.
    """

    def __init__(
        self,
        retrieval: TwoTower,
        plan: TuningPlan,
        feature: str,
        centre,
        scale,
        tower_rate: float = 0.0,
        accumulate: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.retrieval = retrieval
        self.encode = _Encode(plan.encoder)
        self.feature = feature
        self.accumulate = accumulate
        self._centre, self._scale = tf.constant(centre, tf.float32), tf.constant(scale, tf.float32)
        towers = retrieval.trainable_variables if tower_rate else []
        # In a function's keeping, so that Keras counts no weight twice.
        self._learning = lambda: [*plan.weights.values(), *towers]
        self.rates = [*plan.rates, *[tower_rate] * len(towers)]
        self.mean_loss = tf_keras.metrics.Mean(name="loss")

    @property
    def trainable_weights(self):
        """The weights that learn, in the order of `rates`."""
        return self._learning()

    def compute_loss(self, inputs, training=False):
        item_index, negatives = inputs["item_index"], inputs["negatives"]
        vectors = self.vectors(inputs["content"], training)
        live = self.retrieval.embed_candidate(item_index, training=training, vectors={self.feature: vectors})
        stored = self.retrieval.embed_candidate(negatives, training=training)
        queries = self.retrieval.embed_query(inputs["user_index"], inputs["history"], training=training)
        scores = tf.matmul(queries, tf.concat([live, stored], axis=0), transpose_b=True) / self.retrieval.temperature
        candidates = tf.concat([item_index, negatives], axis=0)
        if self.retrieval.logq:
            scores -= tf.math.log(tf.gather(self.retrieval.sampling_probabilities, candidates))
        same = item_index[:, tf.newaxis] == candidates[tf.newaxis]
        is_own = tf.eye(tf.shape(item_index)[0], tf.shape(candidates)[0], dtype=tf.bool)
        is_copy = tf.concat(
            [tf.zeros_like(item_index, tf.bool), tf.reduce_any(same[:, tf.shape(item_index)[0] :], axis=0)], axis=0
        )
        scores = tf.where((same & ~is_own) | is_copy[tf.newaxis], _MASKED, scores)
        if training:
            self._store(item_index, tf.stop_gradient(vectors))
        labels = tf.range(tf.shape(item_index)[0])
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

    def _store(self, item_index, vectors):
        table = self.retrieval.items.lookup.tables["vectors"][self.feature]
        table.scatter_nd_update(item_index[:, tf.newaxis], vectors)

    def _gradients(self, inputs):
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
        weights = self.trainable_weights
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _added_up(self, inputs):
        """Loss and gradients as means over the parts of the batch, one part in memory at a time."""
        parts = {name: value for name, value in inputs.items() if name != "negatives"}
        parts = tf.nest.map_structure(
            lambda value: tf.reshape(value, tf.concat([[self.accumulate, -1], tf.shape(value)[1:]], axis=0)), parts
        )

        def add(part, loss, gradients):
            taken = tf.nest.map_structure(lambda value: value[part], parts)
            more_loss, more = self._gradients({**taken, "negatives": inputs["negatives"]})
            added = [old + new / self.accumulate for old, new in zip(gradients, more)]
            return part + 1, loss + more_loss / self.accumulate, added

        start = (tf.constant(0), tf.constant(0.0), [tf.zeros_like(weight) for weight in self.trainable_weights])
        _, loss, gradients = tf.while_loop(
            lambda part, *_: part < self.accumulate, add, start, parallel_iterations=1
        )
        return loss, gradients


class _Encode(tf_keras.layers.Layer):
    """Calls an encoder on prepared content as a layer, which brings its weights to the precision it computes in."""

    def __init__(self, encoder: Encoder):
        super().__init__(autocast=False, dtype=encoder.dtype_policy)
        self.encoder = encoder

    def call(self, content, training=False):
        return self.encoder.encode(content, training=training)
