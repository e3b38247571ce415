"""DeepFM of DeepCTR-Torch."""

import time

import torch
from deepctr_columns import columns_and_inputs
from deepctr_torch.callbacks import Callback
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM
from deepfm_settings import at_width, hidden_widths, learning
from ranker_run import RankingPeer, Setting, main, threads

MOST_PASSES = 50


def train(arrays, settings, seed):
    model, inputs = _made(arrays, settings, seed)
    for passes in range(1, MOST_PASSES + 1):
        model.fit(inputs["train"], arrays.parts["train"].label, settings["batch_size"], epochs=1, verbose=0)
        yield passes, lambda part: model.predict(inputs[part], batch_size=8192)


def in_one_call(arrays, settings, seed):
    model, inputs = _made(arrays, settings, seed)

    def call(passes):
        clock = _Clock()
        model.fit(
            inputs["train"], arrays.parts["train"].label, settings["batch_size"], epochs=passes, verbose=0,
            callbacks=[clock],
        )  # fmt: skip
        return clock.ends

    return call


class _Clock(Callback):
    """When each pass ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())


def _made(arrays, settings, seed):
    torch.set_num_threads(max(1, threads()))
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
    model.compile(torch.optim.Adam(model.parameters(), settings["learning_rate"]), "binary_crossentropy")
    return model, inputs


SETTINGS = {"l2": Setting(1e-5, [1e-6, 1e-5, 1e-4, 1e-3]), **learning(1024)}
PEERS = {"deepctr_torch": RankingPeer(train, SETTINGS, at_width, in_one_call)}

if __name__ == "__main__":
    main(PEERS)
