"""The command line: mmrec init, validate, embed, pretrain, train, tune, evaluate, recommend, export, serve, demo ...

TensorFlow is imported inside the commands that need it, so that `mmrec --help` is quick. Exit codes: 0 on success,
2 for a mistake that the user can mend (a short message, never a traceback), 130 after Ctrl-C.
"""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from mmrec_tf import __version__
from mmrec_tf.cli_compress import compress
from mmrec_tf.cli_distill import distill
from mmrec_tf.cli_importance import importance
from mmrec_tf.cli_output import console, errors, progress_bars, quiet_tensorflow, show_metrics, show_rows
from mmrec_tf.cli_pretrained import pretrained_app
from mmrec_tf.cli_serve import serve
from mmrec_tf.errors import MmrecError

app = typer.Typer(
    name="mmrec",
    help="Multimodal recommenders in TensorFlow: from tables and media to a served recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(pretrained_app, name="pretrained")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, made by mmrec train.")]
Overrides = Annotated[
    Optional[list[str]],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as train.epochs=3. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Entry point of the `mmrec` command."""
    # TensorFlow's C++ side reads it once, when it is imported. A user's own setting stands.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except MmrecError as error:
        _fail(str(error))
    except OSError as error:
        # A folder that cannot be written to, a file in a folder's place, a full disk; other kinds are defects.
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror}. Name another place, or mend this one.")
    except SystemExit as stop:
        # Typer turns Ctrl-C into this exit code without a word.
        if stop.code == 130:
            errors.print("interrupted; nothing was left half-written")
        raise


def _fail(message: str) -> None:
    errors.print(f"[bold red]error:[/] {_escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(2)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False):
    if version:
        console.print(__version__)
        raise typer.Exit


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of tables and media.")],
    out: Annotated[Optional[Path], typer.Option(help="Where to write; DIR/config.yaml by default.")] = None,
):
    """Look at a folder of tables and media and write a first configuration, commented."""
    from mmrec_tf.data.inspection import write_first_config

    path = write_first_config(folder, out)
    console.print(
        f"wrote {path}\nRead it, mend what was guessed wrong, then: mmrec validate {path}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def validate(config: ConfigFile, set_: Overrides = None, as_json: AsJson = False):
    """Check the tables and media; report every problem with count, example and remedy."""
    from mmrec_tf.config_file import load_config

    loaded = load_config(config, set_)
    from mmrec_tf.data.validation import load_data
    from mmrec_tf.features.item_vectors import resolve_encoders
    from mmrec_tf.models.build import check_parts

    check_parts(loaded)
    resolve_encoders(loaded)
    with progress_bars() as progress:
        _, report = load_data(loaded, progress)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
        return
    _show_validation(report)


@app.command()
def embed(
    config: ConfigFile,
    status: Annotated[bool, typer.Option("--status", help="Show what is stored, missing and stale.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Drop what no item and no feature refers to.")] = False,
    set_: Overrides = None,
    as_json: AsJson = False,
):
    """Compute the items' vectors; only what is new or changed is computed."""
    from mmrec_tf.cli_embed import run_embed

    quiet_tensorflow()
    run_embed(config, set_, status, prune, as_json)


@app.command()
def pretrain(config: ConfigFile, set_: Overrides = None, as_json: AsJson = False):
    """Run the configuration's self-supervised stages ahead of mmrec train, which then finds them."""
    from mmrec_tf.cli_pretrain import run_pretrain

    quiet_tensorflow()
    run_pretrain(config, set_, as_json)


@app.command()
def train(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(help="The run's directory.")] = Path("runs/latest"),
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is already there.")] = False,
    set_: Overrides = None,
):
    """Train retrieval and ranking, evaluate against baselines, export and report, into a run's directory."""
    from mmrec_tf.config_file import load_config

    loaded = load_config(config, set_)
    with progress_bars() as progress:
        from mmrec_tf.workflow import train_run

        quiet_tensorflow()
        run = train_run(loaded, out, overwrite, progress)
    show_metrics(run.read_json("metrics.json"))
    console.print(f"run: {out}   report: {out / 'report.html'}", highlight=False, soft_wrap=True)


@app.command()
def tune(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(help="The search's directory; the same one to go on with it.")] = Path(
        "searches/latest"
    ),
    overwrite: Annotated[bool, typer.Option(help="Forget an earlier search that is already there.")] = False,
    set_: Overrides = None,
    as_json: AsJson = False,
):
    """Search for better settings, judged on the validation split, within a budget of trials or minutes."""
    from mmrec_tf.cli_tune import run_tune

    quiet_tensorflow()
    run_tune(config, out, overwrite, set_, as_json)


@app.command()
def evaluate(run: RunFolder, as_json: AsJson = False):
    """Measure a run again, on its test split, beside the baselines."""
    from mmrec_tf.run import Run

    Run.open(run)
    with progress_bars() as progress:
        metrics = _open(run, progress).evaluate(progress)
    if as_json:
        print(json.dumps(metrics, indent=2, ensure_ascii=False))
    else:
        show_metrics(metrics)


@app.command()
def recommend(
    run: RunFolder,
    user: Annotated[Optional[str], typer.Option(help="The user to recommend to.")] = None,
    all_users: Annotated[bool, typer.Option("--all-users", help="Recommend to every known user.")] = False,
    k: Annotated[int, typer.Option(help="Items per user.")] = 10,
    out: Annotated[Optional[Path], typer.Option(help="Parquet or CSV file for --all-users.")] = None,
    weight: Annotated[
        Optional[list[str]], typer.Option(metavar="NAME=NUMBER", help="How much a modality counts; 1 is as trained.")
    ] = None,
    as_json: AsJson = False,
):
    """Recommend to one user (a table, or --json) or to all (a file)."""
    from mmrec_tf.cli_recommend import run_recommend

    quiet_tensorflow()
    run_recommend(run, user, all_users, k, out, weight, as_json)


@app.command()
def explain(
    run: RunFolder,
    user: Annotated[str, typer.Option(help="The user.")],
    item: Annotated[str, typer.Option(help="The item.")],
    as_json: AsJson = False,
):
    """Show what each modality of an item, and its id, makes up of its score for a user."""
    from mmrec_tf.cli_explain import run_explain

    quiet_tensorflow()
    run_explain(run, user, item, as_json)


@app.command()
def export(
    run: RunFolder,
    table: Annotated[
        Optional[str], typer.Option(help="Items' embeddings in float32, float16 or int8; else as export.table says.")
    ] = None,
):
    """Write the next version of the run's SavedModels for TensorFlow Serving."""
    from mmrec_tf.cli_export import run_export

    quiet_tensorflow()
    run_export(run, table)


@app.command()
def index(
    run: RunFolder,
    add: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Table of new items, Parquet or CSV.")] = None,
    remove: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Text file, one item id a line.")] = None,
):
    """Add items without training, or remove some, and write the next version of the SavedModels."""
    from mmrec_tf.cli_export import run_index

    quiet_tensorflow()
    run_index(run, add, remove)


@app.command("check-export")
def check_export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An export folder, a model's folder, or one version.")],
    as_json: AsJson = False,
):
    """Check that TensorFlow Serving can run what was exported: ops, constants, nothing of Python or XLA."""
    from mmrec_tf.cli_export import run_check_export

    run_check_export(folder, as_json)


app.command()(compress)
app.command()(distill)
app.command()(importance)
app.command()(serve)


@app.command()
def report(run: RunFolder):
    """Write a run's report.html again."""
    from mmrec_tf.run import Run

    Run.open(run)
    with progress_bars() as progress:
        path = _open(run, progress).report()
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the shop and the run go; an earlier demo there is replaced.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 2, help="Seed of the shop and of the run.")] = 7,
):
    """Make a small shop and take it through everything, down to recommendations over HTTP."""
    from mmrec_tf.cli_demo import run_demo

    quiet_tensorflow()
    run_demo(out, seed)


def _open(run: Path, progress):
    from mmrec_tf.workflow import OpenRun

    quiet_tensorflow()
    return OpenRun(run, progress)


def _show_validation(report) -> None:
    rows = [(name, read, kept) for name, (read, kept) in report.rows.items()]
    show_rows("tables", ("table", "rows read", "rows kept"), rows)
    if report.problems:
        show_rows("found", report.HEADER, report.to_rows())
    else:
        console.print("no problems found")
