"""`mmrec compress`: what a run loses when its parts are kept in fewer bits."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmrec_tf.cli_output import console, progress_bars, quiet_tensorflow, show_rows


def compress(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, made by mmrec train.")],
    users: Annotated[int, typer.Option(min=1, help="Test users to ask at most; a sample of more.")] = 1000,
    calls: Annotated[int, typer.Option(min=1, help="Requests that the median time is of.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
):
    """Show size, time and metric of the run's parts in fewer bits, and write its TFLite files."""
    from mmrec_tf.run import Run

    Run.open(run)
    quiet_tensorflow()
    from mmrec_tf.run_compress import compress_run
    from mmrec_tf.workflow import OpenRun

    with progress_bars() as progress:
        opened = OpenRun(run, progress)
        opened.check_same_interactions()
        found = compress_run(opened.run, opened.prepared, opened.retrieval, opened.ranking, users, calls, progress)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    metric = found["metric"].replace("ndcg", "NDCG")
    header = ("part", "variant", "MB", "ratio", "MB zipped", "ms", metric, "loss %")
    asked = f"{found['users']} of {found['test_users']} test users"
    show_rows(f"in fewer bits, {asked}", header, [_cells(one) for one in found["parts"]])
    for one in found["parts"]:
        if one["note"]:
            console.print(f"{one['part']}, {one['variant']}: {one['note']}", highlight=False, markup=False)
    trained = ", ".join(f"{stage} {value:.4f}" for stage, value in found["trained"].items())
    console.print(
        f"As trained: {trained}. The loss is of that; time is the median of one request, of a table the search over "
        f"all items.\nwrote {run / 'export_small'} and {run / 'compression.json'}",
        highlight=False,
        markup=False,
    )


def _cells(one: dict) -> tuple:
    if one["bytes"] is None:
        return (one["part"], one["variant"], *["-"] * 6)
    loss = "-" if one["loss"] is None else f"{100 * one['loss']:.2f}"
    # Without a file in float32 there is nothing to compare with.
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:.3f}"
    megabytes = [f"{one[name] / 1e6:.3f}" for name in ("bytes", "zipped_bytes")]
    milliseconds = f"{one['milliseconds']:.3f}"
    return (one["part"], one["variant"], megabytes[0], ratio, megabytes[1], milliseconds, one["ndcg"], loss)
