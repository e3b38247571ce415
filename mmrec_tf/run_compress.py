"""A run's towers and ranker as small files, and what each costs on the run's own test users."""

import json
from collections.abc import Callable
from dataclasses import asdict

from mmrec_tf.compression_trial import CANDIDATE, QUERY, RANKER, CompressionTrial
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.run import Run, replacing_folder
from mmrec_tf.serving.small_models import SmallModel

Progress = Callable[[str, int, int], None]

_INDICES = "1 + the row in users.parquet or items.parquet; 0 is unknown, and fills up a history in front"
_OUTPUTS = {
    QUERY: "[1, dim + 2] query embedding, whose dot product with a candidate's is the towers' score",
    CANDIDATE: "[1, dim + 2] candidate embedding",
    RANKER: "[1, items] scores, to which similarity_weight times the retrieval scores are to be added",
}


def compress_run(
    run: Run,
    prepared: Prepared,
    retrieval: TwoTower,
    ranking: Ranker | None,
    most_users: int = 1000,
    calls: int = 300,
    progress: Progress | None = None,
) -> dict:
    """Measures the tables of item embeddings, the towers and the ranker in fewer bits, and writes the TFLite files.

    What is measured knows what came before the test, as in `evaluate_models`. The files, in the run's `export_small`
    with what they take in `models.json`, know all interactions, as those of `mmrec export` do.

    Args:
        run: whose folder the files go to, and `compression.json`.
        prepared: its data.
        retrieval, ranking: its models.
        most_users, calls: see `CompressionTrial`.
        progress: called with (description, done, total).

    Returns:
        dict as in `compression.json`: `metric`, `users` that were asked and `test_users` that there are; `trained`, the
        NDCG of the models as trained by stage; and `parts`, dicts of `Compressed`.

    Raises:
        MmrecError: if nobody is in the test split.
    """
    trial = CompressionTrial(prepared, retrieval, ranking, most_users, calls)
    total, done = 1 + 2 * len(trial.parts) * len(trial.variants), 0

    def tell():
        nonlocal done
        if progress is not None:
            progress("compressing", done, total)
        done += 1

    tell()
    found = trial.tables()
    tell()
    small = [one for part in trial.parts for one in trial.small(part, tell)]
    prepared.bring_up_to_date((retrieval, ranking), prepared.split.validation, prepared.split.test)
    described: dict = {"indices": _INDICES}
    if ranking is not None:
        described["similarity_weight"] = float(ranking.similarity_weight.numpy())
    with replacing_folder(run.folder / "export_small") as folder:
        for one in small:
            if one.bytes is not None:
                name = f"{one.part} {one.variant}".replace(" ", "_") + ".tflite"
                content = trial.converted(one.part, one.variant)
                (folder / name).write_bytes(content)
                described[name] = {"inputs": SmallModel(content).describe(), "output": _OUTPUTS[one.part]}
            tell()
        (folder / "models.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    content = {
        "metric": f"ndcg@{trial.k}",
        "users": trial.users,
        "test_users": trial.test_users,
        "trained": trial.trained,
        "parts": [asdict(one) for one in [*found, *small]],
    }
    run.write_json("compression.json", content)
    return content
