"""Measures what a training step of each fusion costs, as a ratio to concatenation in the same run.

    python tools/benchmark_fusions.py [--methods gated attention] [--xla] [--json FILE]

A step is the forward pass, the gradients of all weights and Adam's update of one fusion alone, with modality dropout
on; in a whole model, whose other parts cost the same whatever the fusion, the ratios are nearer to 1. The methods take
turns: in every round each runs a few steps and counts its quickest, and the table shows the median over the rounds,
so that what else the machine does meets all of them alike. The CPU's time is compared, for the same reason.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config import FusionConfig
from mmrec_tf.fusion import build_fusion, fusion_names

WIDTHS = {"text": 384, "image": 1280, "audio": 200}
LIMIT, TRANSFORMER_LIMIT = 1.3, 3.0
TRANSFORMERS = ("attention", "co_attention")


def make_batch(batch: int, seed: int = 0) -> tuple[dict, dict]:
    """Unit vectors and masks, a tenth of each modality absent."""
    random = np.random.default_rng(seed)
    features, masks = {}, {}
    for name, width in WIDTHS.items():
        vectors = random.normal(size=[batch, width]).astype(np.float32)
        features[name] = tf.constant(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        masks[name] = tf.constant(random.random(batch) >= 0.1)
    return features, masks


def make_step(method: str, dim: int, features: dict, masks: dict, xla: bool) -> Callable[[], tf.Tensor]:
    """A compiled training step of one fusion on one batch."""
    fusion = build_fusion(FusionConfig(method=method, dim=dim))
    target = tf.random.stateless_normal([len(next(iter(masks.values()))), dim], seed=[1, 2])
    fusion(features, masks)
    optimizer = tf_keras.optimizers.Adam(1e-3)
    optimizer.build(fusion.trainable_variables)

    @tf.function(jit_compile=xla)
    def step():
        with tf.GradientTape() as tape:
            fused = fusion(features, masks, training=True)
            loss = tf.add_n([tf.reduce_mean(tf.square(fused - target)), *fusion.losses])
        weights = fusion.trainable_variables
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply_gradients(zip(gradients, weights))
        return loss

    return step


def quickest(step: Callable[[], tf.Tensor], steps: int) -> tuple[float, float]:
    """Milliseconds of the quickest of a few steps: CPU time of the process, and wall time."""
    cpu, wall = [], []
    for _ in range(steps):
        before = time.process_time(), time.perf_counter()
        step().numpy()
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    return 1000 * min(cpu), 1000 * min(wall)


def measure(methods: list[str], dim: int, batch: int, rounds: int, steps: int, xla: bool) -> dict[str, dict]:
    """Method -> median milliseconds and ratios to concat, which is always measured."""
    # Each step is a function of its own, which TensorFlow takes for one that is traced over and over.
    tf.get_logger().setLevel("ERROR")
    features, masks = make_batch(batch)
    methods = ["concat", *(name for name in methods if name != "concat")]
    compiled = {name: make_step(name, dim, features, masks, xla) for name in methods}
    for step in compiled.values():
        quickest(step, 2)
    times = {name: [] for name in methods}
    for _ in range(rounds):
        for name, step in compiled.items():
            times[name].append(quickest(step, steps))
    found = {}
    for name in methods:
        result = {}
        for place, unit in enumerate(("cpu", "wall")):
            own = [pair[place] for pair in times[name]]
            # Round by round, because the machine is not the same from one minute to the next.
            ratios = [pair[place] / concat[place] for pair, concat in zip(times[name], times["concat"])]
            result |= {f"{unit}_ms": statistics.median(own), f"{unit}_ratio": statistics.median(ratios)}
        limit = TRANSFORMER_LIMIT if name in TRANSFORMERS else LIMIT
        found[name] = {**result, "limit": limit, "holds": result["cpu_ratio"] <= limit}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=fusion_names(), default=fusion_names(), metavar="METHOD")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=3, help="steps of a method in each round")
    parser.add_argument("--xla", action="store_true", help="compile the steps by XLA")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    found = measure(options.methods, options.dim, options.batch, options.rounds, options.steps, options.xla)
    widths = ", ".join(f"{name} {width}" for name, width in WIDTHS.items())
    print(f"dim {options.dim}, batch {options.batch}, {widths}; TensorFlow {tf.__version__}, {os.cpu_count()} CPUs")
    print(f"{'method':18} {'CPU ms':>8} {'ratio':>6} {'wall ms':>8} {'ratio':>6} {'limit':>6}")
    for name, row in sorted(found.items(), key=lambda pair: pair[1]["cpu_ratio"]):
        note = "" if row["holds"] else "  above the limit"
        print(
            f"{name:18} {row['cpu_ms']:8.1f} {row['cpu_ratio']:6.2f} {row['wall_ms']:8.1f} {row['wall_ratio']:6.2f} "
            f"{row['limit']:6.1f}{note}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
