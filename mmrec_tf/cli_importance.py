"""`mmrec importance`: which features a run's ranker relies on."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from mmrec_tf.cli_output import console, progress_bars, quiet_tensorflow, show_rows
from mmrec_tf.errors import MmrecError


def importance(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, made by mmrec train.")],
    repeats: Annotated[int, typer.Option(min=1, help="How often each feature is shuffled.")] = 5,
    sample: Annotated[int, typer.Option(min=1, help="Pairs whose scores are taken apart.")] = 2048,
    plot: Annotated[Optional[Path], typer.Option(metavar="FILE", help="SVG file to draw the losses to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
):
    """Show which features the ranker relies on: what shuffling each costs on the test split."""
    from mmrec_tf.run import Run, replacing

    Run.open(run)
    if plot is not None and plot.suffix.lower() != ".svg":
        raise MmrecError(f"--plot writes SVG, got {plot.name}: name a file that ends in .svg.")
    quiet_tensorflow()
    from mmrec_tf.evaluation.feature_importance import feature_importance
    from mmrec_tf.evaluation.pairs import evaluation_pairs
    from mmrec_tf.workflow import OpenRun

    with progress_bars() as progress:
        opened = OpenRun(run, progress)
        ranking, prepared = opened.ranking, opened.prepared
        if ranking is None:
            raise MmrecError(
                f"{run} has no ranker. Set models.ranking.enabled to true and train again with: mmrec train"
            )
        opened.check_same_interactions()
        split, seed = prepared.split, prepared.config.seed
        prepared.bring_up_to_date([ranking], split.validation)
        pairs = evaluation_pairs(prepared, split.test, prepared.sequences(split.train, split.validation), seed=seed)
        found = feature_importance(ranking, pairs, repeats, sample, seed, progress)
    cost = "rise of RMSE" if ranking.target == "rating" else "drop of AUC"
    if plot is not None:
        from mmrec_tf.evaluation.plots import importance_bars

        rows = [(f"{one.part}: {one.feature}", one.loss, one.deviation) for one in found]
        plot.parent.mkdir(parents=True, exist_ok=True)
        with replacing(plot) as path:
            path.write_text(importance_bars(rows, f"{cost} when shuffled".capitalize()), encoding="utf-8")
    if as_json:
        features = [one.to_dict() for one in found]
        content = {"loss": cost, "pairs": len(pairs["label"]), "repeats": repeats, "features": features}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    header = ("feature of", "feature", cost, "+-", "contribution")
    rows = [(one.part, one.feature, one.loss, one.deviation, one.contribution) for one in found]
    show_rows(
        f"features of {ranking.title}, {len(pairs['label'])} test pairs, each shuffled {repeats} times", header, rows
    )
    console.print(
        "Of features that say the same each alone costs little. A contribution is the mean size of what a feature adds "
        "to a score, away from the average pair.",
        highlight=False,
    )
    if plot is not None:
        console.print(f"wrote {plot}", highlight=False, markup=False)
