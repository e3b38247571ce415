"""Where the time of a train step goes, and what the machine could do at best, in one process."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from our_training import model_and_batches
from processes import answer, clocks, quickest

from mmrec_tf.models.row_sums import on_plain_cpu
from mmrec_tf.training.fit import fit


def profile(spec: dict) -> dict:
    """Milliseconds per step of each part, of wall and CPU time.

    Args:
        spec: as for `our_training.train`, and `rounds`.
    """
    model, batches = model_and_batches(spec)
    batch = next(iter(batches))
    fit(model, batches.take(2), epochs=1, learning_rate=0.002, patience=1, xla=spec["xla"], optimizer=spec["optimizer"])
    weights = model.trainable_variables

    @tf.function(jit_compile=spec["xla"])
    def forward(batch):
        with on_plain_cpu(not spec["xla"]):
            return model.compute_loss(batch, training=True)

    @tf.function(jit_compile=spec["xla"])
    def gradients(batch):
        with on_plain_cpu(not spec["xla"]), tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        found = tape.gradient(loss, weights)
        # Those of embeddings stay rows: making them dense is the optimizer's part, if it wants that.
        return [part for one in found for part in ([one.values] if isinstance(one, tf.IndexedSlices) else [one])]

    step = tf.function(model.train_step, jit_compile=spec["xla"])
    steps = int(batches.cardinality().numpy())
    parts = {
        "input pipeline": (lambda: [None for _ in batches], steps),
        "forward": (lambda: forward(batch), 1),
        "forward and backward": (lambda: gradients(batch), 1),
        "whole step": (lambda: step(batch), 1),
        **machine(spec),
    }
    return {"parts": in_turns(parts, spec["rounds"])}


def machine(spec: dict) -> dict[str, tuple[Callable, float]]:
    """The products of a step alone, and what tells the machine's speed: name -> (work, pieces of work in it)."""
    rows, dim = spec["batch"], spec["dim"]
    width = rows if spec["negatives"] == "in_batch" else spec["count"]
    queries, items = tf.random.normal([rows, dim]), tf.random.normal([width, dim])
    scores = tf.random.normal([rows, width])
    square = tf.random.normal([2048, 2048])
    source = np.ones(64 * 2**20, np.float32)
    target = np.empty_like(source)

    @tf.function
    def products():
        made = tf.matmul(queries, items, transpose_b=True)
        return tf.reduce_sum(made[0]), tf.matmul(scores, items), tf.matmul(scores, queries, transpose_a=True)

    return {
        "the step's matrix products": (products, 1),
        "one pass over the scores": (tf.function(lambda: scores + 1.0), 1),
        # Work in GFLOP and in GB (read and written).
        "machine: matrix product, per GFLOP": (tf.function(lambda: tf.matmul(square, square)), 2 * 2048**3 / 1e9),
        "machine: memory, per GB": (lambda: np.copyto(target, source), 2 * source.nbytes / 1e9),
    }


def in_turns(parts: dict[str, tuple[Callable, float]], rounds: int) -> dict[str, dict[str, float]]:
    """Name -> milliseconds of wall and CPU time of each part's quickest run."""
    for work, _ in parts.values():
        work()
    found = {name: [] for name in parts}
    for _ in range(rounds):
        for name, (work, pieces) in parts.items():
            before = clocks()
            result = work()
            tf.nest.map_structure(lambda x: x.numpy() if isinstance(x, tf.Tensor) else x, result)
            found[name].append(quickest([before, clocks()], pieces))
    return {name: {key: 1000 * min(each[key] for each in all_) for key in all_[0]} for name, all_ in found.items()}


if __name__ == "__main__":
    answer(profile)
