"""TensorFlow Recommenders: the retrieval tutorial's model, and the same with everything that its task offers.

The tutorial's model is two embeddings behind string look-ups and Adagrad with a step of 0.1. The tuned one adds the
sampling correction, the removal of accidental hits, a temperature, vectors of unit length, the items' categories and
the choice of the optimiser.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from peer_run import Peer, dot_scorer, main
from peer_search import Setting
from pipeline_options import without_tuning


class TutorialModel(tfrs.Model):
    """Two towers of a look-up and an embedding each, as in the tutorial."""

    def __init__(self, split, settings):
        super().__init__()
        self.user_tower, self.item_tower = (
            tf.keras.Sequential(
                [
                    tf.keras.layers.StringLookup(vocabulary=ids, mask_token=None),
                    tf.keras.layers.Embedding(len(ids) + 1, settings["dim"]),
                ]
            )
            for ids in (_strings(split.n_users), _strings(split.n_items))
        )
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, features, training=False):
        users, items = self.user_tower(features["user"]), self.item_tower(features["item"])
        return self.task(users, items, compute_metrics=False)

    def item_bias(self, split):
        return np.zeros(split.n_items, np.float32)

    def vectors(self, split):
        return self.user_tower(_strings(split.n_users)).numpy(), self.item_tower(_strings(split.n_items)).numpy()


class TunedModel(tfrs.Model):
    """The tutorial's model with what the task offers; a setting decides about each."""

    def __init__(self, split, settings):
        super().__init__()
        self.settings = settings
        self.users = tf.keras.layers.Embedding(split.n_users, settings["dim"])
        self.items = tf.keras.layers.Embedding(split.n_items, settings["dim"])
        categories = split.item_features.toarray() if settings["categories"] else np.zeros((split.n_items, 0))
        # The mean of the categories' vectors, so that items with many are not longer.
        categories = categories / np.maximum(categories.sum(axis=1, keepdims=True), 1.0)
        self.categories = tf.constant(categories, tf.float32)
        self.category_vectors = tf.keras.layers.Dense(settings["dim"], use_bias=False) if categories.size else None
        counts = split.popularity
        self.chance = tf.constant(np.maximum(counts, 1.0) / counts.sum(), tf.float32)
        self.is_trained = tf.constant(counts[:, None] > 0)
        self.task = tfrs.tasks.Retrieval(temperature=settings["temperature"], remove_accidental_hits=True)

    def compute_loss(self, features, training=False):
        users, items = features["user"], features["item"]
        return self.task(
            self._scaled(self.users(users)),
            self.item_vectors(items),
            candidate_sampling_probability=tf.gather(self.chance, items) if self.settings["logq"] else None,
            candidate_ids=items,
            compute_metrics=False,
        )

    def item_vectors(self, items):
        vectors = self.items(items)
        if self.category_vectors is not None:
            # The vector of an item without training is as it was drawn: its categories alone speak for it.
            vectors = tf.where(tf.gather(self.is_trained, items), vectors, 0.0)
            vectors += self.category_vectors(tf.gather(self.categories, items))
        return self._scaled(vectors)

    def vectors(self, split):
        users = self._scaled(self.users(tf.range(split.n_users))).numpy()
        return users, self.item_vectors(tf.range(split.n_items)).numpy()

    def item_bias(self, split):
        """Without categories nothing speaks for an item that has no interaction in training."""
        hidden = (split.popularity == 0) & (self.category_vectors is None)
        return np.where(hidden, -np.inf, 0.0).astype(np.float32)

    def _scaled(self, vectors):
        return tf.math.l2_normalize(vectors, axis=1) if self.settings["unit_length"] else vectors


def tutorial(split, settings, seed):
    users, items = (rows.astype(str) for rows in split.positives)
    optimizer = tf.keras.optimizers.Adagrad(settings["learning_rate"])
    yield from _train(TutorialModel, optimizer, users, items, split, settings, seed)


def tuned(split, settings, seed):
    users, items = (rows.astype(np.int32) for rows in split.positives)
    optimizers = {"adagrad": tf.keras.optimizers.Adagrad, "adam": tf.keras.optimizers.Adam}
    optimizer = optimizers[settings["optimizer"]](settings["learning_rate"])
    yield from _train(TunedModel, optimizer, users, items, split, settings, seed)


def _train(model_class, optimizer, users, items, split, settings, seed):
    tf.keras.utils.set_random_seed(seed)
    model = model_class(split, settings)
    model.compile(optimizer=optimizer)
    batches = tf.data.Dataset.from_tensor_slices({"user": users, "item": items}).cache()
    batches = batches.shuffle(len(users), seed=seed).batch(settings["batch_size"]).prefetch(1)
    batches = batches.with_options(without_tuning())
    for passes in range(1, 301):
        model.fit(batches, epochs=1, verbose=0)
        yield passes, dot_scorer(*model.vectors(split), model.item_bias(split))


def _strings(size):
    return np.arange(size).astype(str)


PEERS = {
    "tfrs_tutorial": Peer(
        tutorial,
        {
            "learning_rate": Setting(0.1, [0.03, 0.1, 0.3, 1.0]),
            "dim": Setting(32, [16, 32, 64]),
            "batch_size": Setting(8192, [1024, 2048, 4096, 8192]),
        },
    ),
    "tfrs_logq": Peer(
        tuned,
        {
            "learning_rate": Setting(0.01, [0.001, 0.003, 0.01, 0.03]),
            "temperature": Setting(0.1, [0.05, 0.1, 0.2, 0.5]),
            "batch_size": Setting(1024, [512, 1024, 2048, 4096]),
            "dim": Setting(64, [32, 64, 128]),
            "logq": Setting(True, [False, True]),
            "categories": Setting(True, [False, True]),
            "unit_length": Setting(True, [False, True]),
            "optimizer": Setting("adam", ["adagrad", "adam"]),
        },
        ranks_new_items=True,
    ),
}

if __name__ == "__main__":
    main(PEERS)
