"""`mmrec embed`: fills the feature store, says what it holds, or drops what nothing refers to."""

import json
from pathlib import Path

from mmrec_tf.cli_output import console, progress_bars, show_rows
from mmrec_tf.errors import MmrecError


def run_embed(config: Path, overrides: list[str] | None, status: bool, prune: bool, as_json: bool) -> None:
    """Does what the options of `mmrec embed` say.

    Raises:
        MmrecError: for `status` together with `prune`, and whatever is wrong with configuration or data.
    """
    if status and prune:
        raise MmrecError("--status and --prune are two questions; ask one of them.")
    from mmrec_tf.config_file import load_config
    from mmrec_tf.data.validation import load_data

    loaded = load_config(config, overrides)
    with progress_bars() as progress:
        data, report = load_data(loaded, progress)
        from mmrec_tf.features.item_vectors import build_encoders, embed_items, feature_uses
        from mmrec_tf.pretraining.encoder_stages import pretrain_encoders
        from mmrec_tf.pretraining.running import stages_folder

        encoders = build_encoders(loaded)
        # Encoders that a stage of pretraining changes embed nothing before it; to ask is no reason to train them.
        pretrain_encoders(encoders, data, loaded, stages_folder(loaded), progress, only_load=status or prune)
        if not (status or prune):
            _, summaries = embed_items(data, loaded, progress, encoders)
    if status or prune:
        _manage(loaded, feature_uses(data, loaded, encoders, report.files_away), prune, as_json)
        return
    content = {
        name: {
            "items": summary.total,
            "computed": summary.computed,
            "reused": summary.reused,
            "absent": summary.absent,
            # Validation has taken files out that are missing or broken, so the encoder never saw them.
            "problems": _problems(report, loaded, name),
            "undecodable": summary.undecodable,
            "unreadable": summary.unreadable,
            "seconds": round(summary.seconds, 2),
        }
        for name, summary in summaries.items()
    }
    if as_json:
        print(json.dumps({"store": str(loaded.store), "features": content}, indent=2, ensure_ascii=False))
        return
    header = ("feature", "items", "computed", "reused", "absent", "seconds")
    rows = [(name, *(str(entry[key]) for key in header[1:])) for name, entry in content.items()]
    show_rows(f"feature store {loaded.store}", header, rows)
    for name, entry in content.items():
        for kind, count in entry["problems"].items():
            console.print(f"{name}: {count} {kind.replace('_', ' ')}", highlight=False)
    if any(entry["problems"] for entry in content.values()):
        console.print(f"which they are, and why: mmrec validate {config}", highlight=False)


def _problems(report, config, name: str) -> dict[str, int]:
    """Rows of the feature's columns, by kind of problem."""
    feature = next(feature for feature in config.features.item if feature.name == name)
    found: dict[str, int] = {}
    for problem in report.problems:
        if problem.table == "items" and problem.column in feature.columns and problem.feature in (None, name):
            found[problem.kind] = found.get(problem.kind, 0) + problem.count
    return found


def _manage(config, uses, prune: bool, as_json: bool) -> None:
    from mmrec_tf.features.feature_store import FeatureStore
    from mmrec_tf.features.store_status import prune_store, store_status
    from mmrec_tf.pretraining.running import prune_stages

    store = FeatureStore(config.store)
    before = store.directories()
    freed = prune_store(store, uses) + prune_stages(config) if prune else None
    dropped = [path.name for path in before if not path.is_dir()]
    status = store_status(store, uses)
    if as_json:
        content = status.to_dict() | ({} if freed is None else {"dropped_encoders": dropped, "freed_bytes": freed})
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    header = ("feature", "items", "stored", "missing", "undecodable", "empty", "stale")
    rows = [
        (*(str(getattr(feature, name)) for name in header), f"{feature.bytes / 1e6:.1f} MB")
        for feature in status.features
    ]
    show_rows(f"feature store {config.store}", (*header, "size"), rows)
    for name, size in status.stale_encoders.items():
        console.print(f"no feature uses {name}: {size / 1e6:.1f} MB", highlight=False)
    if dropped:
        console.print(f"dropped what no feature uses: {', '.join(dropped)}", highlight=False)
    if dropped or status.stale_encoders:
        # A configuration does not tell what its encoder becomes by tuning, so the store cannot tell those apart.
        console.print(
            "(encoders that runs have tuned count as unused; a finished run keeps its own copy of their vectors)",
            highlight=False,
        )
    for use in uses:
        if prune and use.away:
            console.print(
                f"{use.feature}: {len(use.away)} files cannot be found or read; what is stored of them is kept",
                highlight=False,
            )
    if freed is not None:
        console.print(f"freed {freed / 1e6:.1f} MB", highlight=False)
    elif status.stale_encoders or any(feature.stale for feature in status.features):
        console.print("drop what is stale with: mmrec embed CONFIG --prune", highlight=False)
