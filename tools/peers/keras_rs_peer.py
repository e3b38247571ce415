"""In-batch retrieval with KerasRS: two embeddings, a softmax over the batch, its own correction and accidental hits."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_rs
import numpy as np
import tensorflow as tf
from peer_run import Peer, dot_scorer, main
from peer_search import Setting
from pipeline_options import without_tuning


class Retrieval(keras.Model):
    """The retrieval model of the library's guide, trained by the softmax over the batch's candidates."""

    def __init__(self, split, settings):
        super().__init__()
        self.users = keras.layers.Embedding(split.n_users, settings["dim"])
        self.items = keras.layers.Embedding(split.n_items, settings["dim"])
        self.hits = keras_rs.layers.RemoveAccidentalHits()
        self.correction = keras_rs.layers.SamplingProbabilityCorrection() if settings["logq"] else None
        self.temperature = settings["temperature"]
        counts = split.popularity
        self.chance = keras.ops.convert_to_tensor(np.maximum(counts, 1.0) / counts.sum())

    def call(self, batch):
        users, items = batch
        logits = keras.ops.matmul(self.users(users), keras.ops.transpose(self.items(items))) / self.temperature
        if self.correction is not None:
            logits = self.correction(logits, keras.ops.take(self.chance, items))
        labels = keras.ops.eye(keras.ops.shape(items)[0])
        return self.hits(logits, labels, items)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        places = keras.ops.arange(keras.ops.shape(y_pred)[0])
        losses = keras.losses.sparse_categorical_crossentropy(places, y_pred, from_logits=True)
        return keras.ops.mean(losses)


def retrieval(split, settings, seed):
    keras.utils.set_random_seed(seed)
    users, items = split.positives
    batches = tf.data.Dataset.from_tensor_slices(((users, items),)).shuffle(len(users), seed=seed)
    batches = batches.batch(min(settings["batch_size"], len(users)), drop_remainder=True).prefetch(1)
    batches = batches.with_options(without_tuning())
    model = Retrieval(split, settings)
    optimizers = {"adagrad": keras.optimizers.Adagrad, "adam": keras.optimizers.Adam}
    model.compile(optimizer=optimizers[settings["optimizer"]](settings["learning_rate"]))
    model((users[:2], items[:2]))
    for passes in range(1, 301):
        model.fit(batches.map(lambda batch: (batch,)), verbose=0)
        yield passes, dot_scorer(*(np.asarray(layer.embeddings) for layer in (model.users, model.items)))


PEERS = {
    "keras_rs": Peer(
        retrieval,
        {
            "learning_rate": Setting(0.01, [0.001, 0.003, 0.01, 0.03]),
            "temperature": Setting(1.0, [0.1, 0.3, 1.0]),
            "batch_size": Setting(4096, [512, 1024, 2048, 4096]),
            "dim": Setting(32, [16, 32, 64]),
            "logq": Setting(False, [False, True]),
            "optimizer": Setting("adam", ["adagrad", "adam"]),
        },
    )
}

if __name__ == "__main__":
    main(PEERS)
