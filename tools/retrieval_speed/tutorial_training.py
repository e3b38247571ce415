"""Trains the retrieval tutorial's model of TensorFlow Recommenders as the tutorial has it, and times its epochs."""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras
from interactions import interactions
from processes import answer, clocks, quickest


class Tutorial(tfrs.Model):
    """Two towers of a string look-up and an embedding.

    Args:
        user_ids, item_ids: `[n]` string arrays.
        dim: int. Width of the embeddings.
        measures_while_training: bool. Whether FactorizedTopK counts in every train step, as the tutorial's first
            version has it.
    """

    def __init__(self, user_ids, item_ids, dim, measures_while_training):
        super().__init__()
        self.user_tower, self.item_tower = (
            tf_keras.Sequential(
                [
                    tf_keras.layers.StringLookup(vocabulary=ids, mask_token=None),
                    tf_keras.layers.Embedding(len(ids) + 1, dim),
                ]
            )
            for ids in (user_ids, item_ids)
        )
        candidates = tf.data.Dataset.from_tensor_slices(item_ids).batch(128).map(self.item_tower)
        self.task = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(candidates=candidates))
        self.measures_while_training = measures_while_training

    def compute_loss(self, features, training=False):
        users, items = self.user_tower(features["user_id"]), self.item_tower(features["movie_title"])
        return self.task(users, items, compute_metrics=self.measures_while_training)


class Moments(tf_keras.callbacks.Callback):
    """What the clocks say after every epoch."""

    def __init__(self):
        super().__init__()
        self.moments = []

    def on_epoch_end(self, epoch, logs=None):
        self.moments.append(clocks())


def train(spec: dict) -> dict:
    """Seconds per example of the quickest epoch after the first, which traces the step and fills the cache.

    Args:
        spec: dict with `users`, `items`, `interactions`, `dim`, `batch`, `metric`, `xla`, `ids` (`strings` or
            `integers`) and `epochs`.
    """
    users, items = interactions(spec["users"], spec["items"], spec["interactions"])
    # The incomplete last batch is left out, as in our pipeline.
    count = len(users) // spec["batch"] * spec["batch"]
    user_ids, item_ids = (tf.strings.as_string(tf.range(spec[side])) for side in ("users", "items"))
    columns = {"user_id": tf.strings.as_string(users[:count]), "movie_title": tf.strings.as_string(items[:count])}
    model = Tutorial(user_ids, item_ids, spec["dim"], spec["metric"])
    if not spec["strings"]:
        model.user_tower, model.item_tower = (
            tf_keras.layers.Embedding(spec[side], spec["dim"]) for side in ("users", "items")
        )
        columns = {"user_id": users[:count], "movie_title": items[:count]}
    model.compile(optimizer=tf_keras.optimizers.Adagrad(learning_rate=0.1), jit_compile=spec["xla"])
    batches = tf.data.Dataset.from_tensor_slices(columns).shuffle(100_000)
    batches = batches.batch(spec["batch"], drop_remainder=True).cache()
    timed = Moments()
    model.fit(batches, epochs=spec["epochs"] + 1, callbacks=[timed], verbose=0)
    return quickest(timed.moments, count)


if __name__ == "__main__":
    answer(train)
