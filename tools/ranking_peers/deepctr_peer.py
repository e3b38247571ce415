"""DeepFM of DeepCTR, on TensorFlow with Keras 2."""

import os
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Keras reads the variable when it is imported.
import tensorflow as tf  # noqa: E402
from deepctr.feature_column import DenseFeat, SparseFeat, VarLenSparseFeat  # noqa: E402
from deepctr.models import DeepFM  # noqa: E402
from deepctr_columns import columns_and_inputs  # noqa: E402
from deepfm_settings import at_width, hidden_widths, learning  # noqa: E402
from ranker_run import RankingPeer, Setting, main  # noqa: E402

MOST_PASSES = 50


def train(arrays, settings, seed):
    model, inputs = _made(arrays, settings, seed)
    for passes in range(1, MOST_PASSES + 1):
        model.fit(
            inputs["train"], arrays.parts["train"].label, settings["batch_size"], epochs=passes,
            initial_epoch=passes - 1, verbose=0,
        )  # fmt: skip
        yield passes, lambda part: model.predict(inputs[part], batch_size=8192, verbose=0)


def in_one_call(arrays, settings, seed):
    model, inputs = _made(arrays, settings, seed)

    def call(passes):
        ends = []
        clock = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
        model.fit(
            inputs["train"], arrays.parts["train"].label, settings["batch_size"], epochs=passes, callbacks=[clock],
            verbose=0,
        )  # fmt: skip
        return ends

    return call


def _made(arrays, settings, seed):
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    columns, inputs = columns_and_inputs(arrays, settings, (SparseFeat, VarLenSparseFeat, DenseFeat))
    model = DeepFM(
        columns,
        columns,
        dnn_hidden_units=hidden_widths(settings),
        dnn_dropout=settings["dropout"],
        l2_reg_embedding=settings["l2"],
        l2_reg_linear=settings["l2"],
        seed=seed,
    )
    model.compile(tf.keras.optimizers.Adam(settings["learning_rate"]), "binary_crossentropy")
    return model, inputs


SETTINGS = {"l2": Setting(1e-5, [1e-6, 1e-5, 1e-4, 1e-3]), **learning(1024)}
PEERS = {"deepctr": RankingPeer(train, SETTINGS, at_width, in_one_call)}

if __name__ == "__main__":
    main(PEERS)
