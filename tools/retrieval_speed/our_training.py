"""Trains a two-tower model on ids alone, by the package's own pipeline, model and fit, and times its epochs."""

import numpy as np
from interactions import interactions
from processes import answer, clocks, quickest, resident_megabytes


def model_and_batches(spec: dict):
    """The model and its dataset; `spec` as in `train`."""
    from mmrec_tf.config import Config
    from mmrec_tf.data.pipelines import retrieval_dataset
    from mmrec_tf.data.sequences import Sequences
    from mmrec_tf.features.feature_table import FeatureTable
    from mmrec_tf.models.build import build_two_tower

    user_rows, item_rows = interactions(spec["users"], spec["items"], spec["interactions"])
    config = Config(
        data={"interactions": "none.csv", "items": "none.csv"},
        schema={"user": {"user": "id"}, "item": {"item": "id"}},
        split={"method": "random"},
        models={
            "retrieval": {
                "dim": spec["dim"],
                "hidden": spec.get("hidden", []),
                "history_length": spec.get("history", 0),
                "negatives": {"source": spec["negatives"], "count": spec.get("count", 1), "logq": spec["logq"]},
                "loss": {"name": spec["loss"]},
                "neighbours": 0,
                "id_dropout": 0.0,
                "user_dropout": 0.0,
                "dropout": 0.0,
            }
        },
    )
    tables = []
    for size in (spec["users"], spec["items"]):
        ids = np.arange(size + 1, dtype=np.int32)
        # Nothing asks for the raw ids: a range of them takes no memory, whatever its length.
        tables.append(FeatureTable(ids=range(size), id_index=ids, id_vocabulary_size=size + 1))
    model = build_two_tower(config, *tables, train_item_index=item_rows + 1)
    sequences = Sequences(user_rows, item_rows, np.arange(len(item_rows)), spec["users"], spec.get("history", 0))
    return model, retrieval_dataset(sequences, spec["batch"])


def train(spec: dict) -> dict:
    """Seconds per example of the quickest epoch after the first, which traces the step.

    Args:
        spec: dict with `users`, `items`, `interactions`, `dim`, `batch`, `negatives`, `logq`, `loss`, `optimizer`,
            `xla`, `steps_per_call`, `epochs`, and where wanted `hidden`, `history` and `count`.
    """
    from mmrec_tf.training.fit import fit

    model, batches = model_and_batches(spec)
    # The end of training is reported as its last epoch once more.
    moments = {}
    history = fit(
        model,
        batches,
        epochs=spec["epochs"] + 1,
        learning_rate=0.002,
        patience=spec["epochs"] + 1,
        xla=spec["xla"],
        steps_per_call=spec["steps_per_call"],
        optimizer=spec["optimizer"],
        progress=lambda _, done, __: moments.setdefault(done, clocks()),
    )
    examples = int(batches.cardinality().numpy()) * spec["batch"]
    return {**quickest(list(moments.values()), examples), "loss": history["loss"], "resident_mb": resident_megabytes()}


if __name__ == "__main__":
    answer(train)
