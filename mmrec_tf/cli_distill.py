"""`mmrec distill`: a smaller ranker that learns from a run's own and answers within a budget."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
import yaml

from mmrec_tf.cli_output import console, progress_bars, quiet_tensorflow, show_rows
from mmrec_tf.errors import MmrecError

_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|)\s*")


def distill(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, made by mmrec train.")],
    out: Annotated[Optional[Path], typer.Option(help="The new run's directory; RUN-small by default.")] = None,
    under: Annotated[str, typer.Option(metavar="TIME", help="The most a median request may take.")] = "5ms",
    candidates: Annotated[int, typer.Option(min=1, help="Items that are ranked in a request.")] = 500,
    student: Annotated[
        Optional[list[str]],
        typer.Option(metavar="SETTINGS", help="A student, as model=fm,dim=8 or dim=8,hidden=[32,16]. May be repeated."),
    ] = None,
    prune: Annotated[float, typer.Option(help="Also try each with this share of its dense weights at 0.")] = 0.0,
    temperature: Annotated[float, typer.Option(help="How much the teacher's small differences count.")] = 2.0,
    weight: Annotated[float, typer.Option(help="How much the teacher counts beside the labels, 0 to 1.")] = 0.5,
    alone: Annotated[bool, typer.Option("--alone", help="Also train each student without the teacher.")] = False,
    calls: Annotated[int, typer.Option(min=1, help="Requests that the median time is of.")] = 300,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
):
    """Train small rankers on what the run's ranker says, and write the best in time as a run of its own."""
    from mmrec_tf.run import Run

    opened = Run.open(run)
    out = run.absolute().with_name(f"{run.absolute().name}-small") if out is None else out
    asked = {
        "milliseconds": milliseconds(under),
        "candidates": candidates,
        "students": [student_settings(text) for text in student or []],
        "sparsity": _in_range("--prune", prune, 0.0 <= prune < 1.0, "a share from 0 to below 1"),
        "temperature": _in_range("--temperature", temperature, temperature > 0.0, "a number above 0"),
        "weight": _in_range("--weight", weight, 0.0 <= weight <= 1.0, "a number from 0 to 1"),
        "alone": alone,
        "calls": calls,
    }
    quiet_tensorflow()
    from mmrec_tf.run_distill import BudgetError, DistillOptions, check_distill, distill_run
    from mmrec_tf.workflow import OpenRun

    options = DistillOptions(**asked)
    check_distill(opened, options, out)
    try:
        with progress_bars() as progress:
            loaded = OpenRun(run, progress)
            loaded.check_same_interactions()
            found = distill_run(loaded, options, out, overwrite, progress)
    except BudgetError as error:
        if as_json:
            print(json.dumps(error.content, indent=2, ensure_ascii=False))
        else:
            _show(error.content)
        raise
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    _show(found)
    for line in (*_remarks(found), f"run: {out}   report: {out / 'report.html'}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def milliseconds(text: str) -> float:
    """A time as `5ms`, `0.2 s` or `5`, which are milliseconds.

    Raises:
        MmrecError: for anything else.
    """
    found = _TIME.fullmatch(text)
    value = 0.0 if found is None else float(found[1]) * (1000.0 if found[2] == "s" else 1.0)
    if not value > 0.0:
        raise MmrecError(f"--under takes a time above 0, such as 5ms or 0.2s, got {text!r}.")
    return value


def student_settings(text: str) -> dict[str, Any]:
    """Settings as `dim=8,hidden=[32,16]`, the values in YAML.

    Raises:
        MmrecError: for what is no such list.
    """
    settings = {}
    for part in re.split(r",(?![^\[{]*[\]}])", text):
        name, separator, value = part.partition("=")
        name = name.strip()
        if not separator or not name or name in settings:
            raise MmrecError(
                f"--student takes settings of models.ranking, each once, as in dim=8,hidden=[32,16]; got {text!r}."
            )
        try:
            settings[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise MmrecError(f"--student {text}: the value of {name}, {value!r}, is not valid YAML.") from error
    return settings


def _in_range(option, value, is_allowed, allowed):
    if not is_allowed:
        raise MmrecError(f"{option} takes {allowed}, got {value:g}.")
    return value


def _show(found: dict) -> None:
    """The table; `zipped` where there are zeros to be seen by it."""
    rankers = found["rankers"]
    metrics = {"auc": "AUC", "per_user_auc": "per user"}
    metrics = {"rmse": "RMSE", **metrics} if rankers[0]["target"] == "rating" else {**metrics, "log_loss": "log loss"}
    sizes = {"bytes": "MB"} if not found["sparsity"] else {"bytes": "MB", "zipped_bytes": "zipped"}
    rows = []
    for one in rankers:
        figures = [one["validation"].get(next(iter(metrics))), *(one["test"].get(name) for name in metrics)]
        costs = [f"{one['milliseconds']:.2f}", *(f"{one[name] / 1e6:.2f}" for name in sizes)]
        rows.append((one["name"], *figures, *costs))
    header = ("ranker", "validation", *metrics.values(), "ms", *sizes.values())
    show_rows(f"test split, and {found['candidates']} candidates of a user on one core", header, rows)


def _remarks(found: dict) -> list[str]:
    """What was chosen; and whether the run's own ranker would have done."""
    rankers = {one["name"]: one for one in found["rankers"]}
    teacher, chosen = found["rankers"][0], rankers[found["chosen"]]
    faster = teacher["milliseconds"] / chosen["milliseconds"]
    remarks = [
        f"Chosen on the validation split, of those under {found['milliseconds']:g} ms: {found['chosen']}, "
        f"{faster:.1f} times as fast as the run's own ranker."
    ]
    if teacher["milliseconds"] <= found["milliseconds"]:
        remarks.append(f"The run's own ranker answers in time too: {found['teacher']} stays as it is.")
    return remarks
