"""Measures what encoding costs: the store beside the bare encoder, length buckets, a second embed, cached training.

    python tools/benchmark_encoders.py --data DIR [--section store bucketing second ranker]

DIR holds the data sets that examples/encoders names; a part whose data is not there is left out. Everything compared is
run in turns in one process, and ratios are what counts: absolute times depend on the machine and its other work.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import mmrec_tf as mm
from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.features.batches import stacked
from mmrec_tf.features.feature_store import FeatureStore
from mmrec_tf.schema import Feature

SECTIONS = ("store", "bucketing", "second", "ranker")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--section", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is run")
    arguments = parser.parse_args()
    import tensorflow as tf

    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, TensorFlow {tf.__version__}"
    )
    for section in arguments.section:
        rows = globals()[section](arguments.data, arguments.rounds)
        print(f"\n{section}\n{pd.DataFrame(rows).to_string(index=False) if rows else 'no data'}")
    return 0


def encoder_named(kind: str, name: str, **options):
    return build_encoder(Feature(name="item", kind=kind), EncoderConfig(type=name, **options))


def seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(first: Callable, second: Callable, rounds: int) -> tuple[float, float]:
    """The least seconds of each, run alternately, so that a busy moment of the machine hits both."""
    times = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return min(a for a, _ in times), min(b for _, b in times)


def store(data: Path, rounds: int) -> list[dict]:
    """Items a second through the store, with decoding, hashing and writing, beside the encoder on decoded batches."""
    import tensorflow as tf

    cases = [
        ("text", "minilm", {}, plots(data)[:640]),
        ("image", "efficientnet_lite0", {}, different(sorted((data / "photos-cc0").glob("*.jpg")), copies=4)),
        ("audio", "musicnn", {}, sorted((data / "emotify-odd" / "audio").glob("*.ogg"))),
        ("video", "frames", {"image": "efficientnet_lite0"}, videos(data)),
    ]
    rows = []
    for kind, name, options, sources in cases:
        if not sources:
            continue
        encoder = encoder_named(kind, name, **options)
        contents = [content for content in map(encoder.decode, sources) if content is not None]
        # The bare encoder gets the store's own batches: what is measured is the way to it, not the batching.
        contents.sort(key=encoder.content_length)
        size = encoder.batch_size
        batches = [stacked(encoder, contents[start : start + size]) for start in range(0, len(contents), size)]
        call = tf.function(lambda batch, encoder=encoder: encoder(batch, training=False), reduce_retracing=True)

        def bare(call=call, batches=batches):
            for batch in batches:
                call(batch).numpy()

        def through_store(encoder=encoder, sources=sources):
            with tempfile.TemporaryDirectory() as folder:
                FeatureStore(folder).embed(encoder, sources)

        bare()
        through_store()
        alone, stored = in_turns(bare, through_store, rounds)
        rows.append(
            {
                "modality": kind,
                "encoder": name,
                "items": len(contents),
                "bare items/s": round(len(contents) / alone, 1),
                "store items/s": round(len(contents) / stored, 1),
                "store / bare": round(alone / stored, 2),
            }
        )
    return rows


def bucketing(data: Path, rounds: int) -> list[dict]:
    """Text batches of similar length, beside batches filled up to the encoder's maximum, and to their longest."""
    import tensorflow as tf

    texts = plots(data)[:640]
    if not texts:
        return []
    encoder = encoder_named("text", "minilm")
    module = tf.saved_model.load(encoder.handle)
    longest = int(module.max_tokens) if hasattr(module, "max_tokens") else 256
    # A text of the greatest length in each batch makes the module fill up to its maximum.
    filler = " ".join(["word"] * longest)
    size = encoder.batch_size
    call = tf.function(lambda batch: encoder(batch, training=False), reduce_retracing=True)

    def run(ordered, extra=()):
        step = size - len(extra)
        for start in range(0, len(ordered), step):
            call(tf.constant([*ordered[start : start + step], *extra])).numpy()

    run(texts[:size])
    at_random = list(np.random.default_rng(0).permutation(np.array(texts, object)))
    sides = {
        "padded to the maximum": lambda: run(at_random, (filler,)),
        "padded to the batch's longest": lambda: run(at_random),
        "bucketed by length": lambda: run(sorted(texts, key=len)),
    }
    times = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            times[name].append(seconds(work))
    best = {name: min(found) for name, found in times.items()}
    return [
        {
            "batches": name,
            "texts/s": round(len(texts) / spent, 1),
            "times as fast": round(best["padded to the maximum"] / spent, 2),
        }
        for name, spent in best.items()
    ]


def second(data: Path, rounds: int, items: int = 10_000) -> list[dict]:
    """`mmrec embed` again on a catalogue of photos and texts that has not changed, and after one item has."""
    photos = sorted((data / "photos-cc0").glob("*.jpg"))
    if not photos:
        return []
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder)
        for number in range(items):
            # Bytes behind a JPEG's end change the file and not the picture.
            (catalogue / f"{number}.jpg").write_bytes(photos[number % len(photos)].read_bytes() + b"%d" % number)
        table = pd.DataFrame({"item": range(items), "title": [f"product number {n}" for n in range(items)]})
        table["photo"] = [f"{number}.jpg" for number in range(items)]
        table.to_csv(catalogue / "items.csv", index=False)
        pd.DataFrame({"user": [1, 2, 3], "item": [1, 2, 3], "time": [1, 2, 3]}).to_csv(
            catalogue / "interactions.csv", index=False
        )
        (catalogue / "config.yaml").write_text(
            "data: {interactions: interactions.csv, items: items.csv}\n"
            "schema:\n  user: {user: id}\n  item: {item: id, title: text, photo: image}\n  context: {time: timestamp}\n"
        )
        command = [
            sys.executable,
            "-c",
            "from mmrec_tf.cli import main; main()",
            "embed",
            str(catalogue / "config.yaml"),
        ]
        imports = "import mmrec_tf.features.prepared, mmrec_tf.encoders.image_cnn, mmrec_tf.encoders.hashed_text"

        def embed():
            subprocess.run(command, check=True, capture_output=True)

        # A file that has only just been written is read again to be sure.
        time.sleep(3)
        first = seconds(embed)
        import_time = min(
            seconds(lambda: subprocess.run([sys.executable, "-c", imports], check=True, capture_output=True))
            for _ in range(rounds)
        )
        again = min(seconds(embed) for _ in range(rounds))
        (catalogue / "7.jpg").write_bytes(photos[0].read_bytes() + b"changed")
        changed = seconds(embed)
    return [
        {"run": run, "seconds": round(spent, 1), "beyond importing": round(spent - import_time, 2)}
        for run, spent in (("first", first), ("unchanged", again), ("one photo changed", changed))
    ]


def ranker(data: Path, rounds: int, batch_size: int = 64) -> list[dict]:
    """A DeepFM-type train step on cached vectors beside one that encodes its items' texts, with MiniLM."""
    import tensorflow as tf
    import tf_keras

    texts = plots(data)[:512]
    if not texts:
        return []
    encoder = encoder_named("text", "minilm")
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(folder)
        store.embed(encoder, texts)
        vectors, _ = store.read(encoder, texts)
    table, strings = tf.constant(vectors), tf.constant(texts)
    rng = np.random.default_rng(0)
    batches = [
        (
            tf.constant(rng.integers(0, 100, batch_size), tf.int32),
            tf.constant(rng.integers(0, len(texts), batch_size), tf.int32),
            tf.constant(rng.integers(0, 2, batch_size), tf.float32),
        )
        for _ in range(4)
    ]

    def trainer(content):
        users, project = tf_keras.layers.Embedding(100, 32), tf_keras.layers.Dense(32)
        head = tf_keras.Sequential([tf_keras.layers.Dense(64, activation="relu"), tf_keras.layers.Dense(1)])
        optimizer = tf_keras.optimizers.Adam(0.001)
        loss_of = tf_keras.losses.BinaryCrossentropy(from_logits=True)

        @tf.function
        def step(user, item, label):
            with tf.GradientTape() as tape:
                fields = [users(user), project(content(item))]
                pairs = tf.reduce_sum(fields[0] * fields[1], axis=1, keepdims=True)
                loss = loss_of(label[:, None], head(tf.concat(fields, axis=1)) + pairs)
            weights = [*users.trainable_weights, *project.trainable_weights, *head.trainable_weights]
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            return loss

        def run(steps):
            # Weights are made in the first step.
            tf_keras.utils.set_random_seed(0)
            return [float(step(*batches[number % len(batches)])) for number in range(steps)]

        return run

    cached = trainer(lambda item: tf.gather(table, item))
    encoding = trainer(lambda item: encoder(tf.gather(strings, item), training=False))
    losses = cached(4), encoding(4)
    repeats = 50
    fast, slow = in_turns(lambda: cached(repeats), lambda: encoding(2), rounds)
    fast, slow = fast / repeats, slow / 2
    return [
        {
            "step": name,
            "ms": round(1000 * spent, 2),
            "times as fast": round(slow / spent, 1),
            "loss after 4 steps": round(found[-1], 6),
        }
        for name, spent, found in (("encodes in the step", slow, losses[1]), ("cached vectors", fast, losses[0]))
    ]


def plots(data: Path) -> list[str]:
    path = data / "movielens-small" / "items_text.csv"
    return pd.read_csv(path, dtype=str)["wiki_extract"].dropna().tolist() if path.is_file() else []


def different(paths: list[Path], copies: int) -> list[bytes]:
    """The files several times over, each with other bytes behind its end, so that none is taken for another."""
    return [path.read_bytes() + b"%d" % copy for copy in range(copies) for path in paths]


def videos(data: Path) -> list[Path]:
    return sorted(path for path in (data / "video").rglob("*") if path.suffix in (".mp4", ".webm", ".mkv", ".gif"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except mm.MmrecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
