"""`mmrec export`, `index` and `check-export`: what is served, and whether TensorFlow Serving can run it."""

import json
from pathlib import Path
from typing import get_args

from mmrec_tf.cli_output import console, progress_bars, show_rows
from mmrec_tf.errors import RunError, ServingError


def run_export(run: Path, table: str | None) -> None:
    """Exports the next version of a run's models, with the items' embeddings in another table where one is named.

    Raises:
        ServingError: for a table that is not known.
    """
    from mmrec_tf.config_models import ExportConfig
    from mmrec_tf.run import Run

    allowed = get_args(ExportConfig.model_fields["table"].annotation)
    if table is not None and table not in allowed:
        raise ServingError(f"--table is {table!r}. Allowed: {', '.join(allowed)}.")
    Run.open(run)
    from mmrec_tf.workflow import OpenRun

    with progress_bars() as progress:
        written = OpenRun(run, progress).export(progress, table)
    _show_exported(written)


def run_index(run: Path, add: Path | None, remove: Path | None) -> None:
    """Adds the items of a table to a run, removes those that a text file names, and exports the next version.

    Raises:
        RunError: if neither is given, or the text file cannot be read.
    """
    from mmrec_tf.run import Run

    Run.open(run)
    if add is None and remove is None:
        raise RunError("nothing to do: give --add a table of new items, or --remove a text file of ids, one a line.")
    ids = []
    if remove is not None:
        if not remove.is_file():
            raise RunError(f"{remove} is no file. --remove takes a text file with one item id a line.")
        try:
            # A byte order mark, which editors on Windows write, is no part of the first id.
            ids = [line.strip() for line in remove.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise RunError(f"{remove} is no UTF-8 text ({error}). --remove takes one item id a line.") from error
    from mmrec_tf.workflow import OpenRun

    with progress_bars() as progress:
        written = OpenRun(run, progress).index(add, ids, progress)
    _show_exported(written)


def run_check_export(folder: Path, as_json: bool) -> None:
    """Checks every SavedModel of a folder against what stock TensorFlow Serving runs, and shows a row for each.

    Raises:
        ServingError: if there is none, or the server would not run one.
    """
    from mmrec_tf.serving.op_check import check_export

    checks = check_export(folder)
    refused = [(check, refusal) for check in checks for refusal in check.refusals]
    if as_json:
        print(json.dumps([check.to_dict() for check in checks], indent=2, ensure_ascii=False))
    else:
        rows = [(check.path, len(check.ops), ", ".join(_beside(check)), len(check.refusals)) for check in checks]
        show_rows("checked", ("SavedModel", "kinds of ops", "beside the core ops", "refused"), rows)
        for check, refusal in refused:
            console.print(f"{check.path}: {refusal}", highlight=False, markup=False)
        for check in checks:
            _tell_needs(check)
    if refused:
        models = len({check.path for check, _ in refused})
        first = refused[0][1]
        raise ServingError(
            f"TensorFlow Serving would not run {models} of {len(checks)} models; the first op: {first}. Replace the "
            "layer that brought it, and write the next version with: mmrec export RUN"
        )


def _show_exported(written: dict[str, Path]) -> None:
    from mmrec_tf.serving.op_check import check_model, needed_libraries

    show_rows("exported", ("model", "version", "path"), [(name, path.name, path) for name, path in written.items()])
    for path in written.values():
        if needed_libraries(path):
            _tell_needs(check_model(path))


def _beside(check) -> list[str]:
    return [*(["TF.Text"] if check.needs_text else []), *check.libraries]


def _tell_needs(check) -> None:
    if check.needs:
        first = check.needs[0]
        where = f"{first.op}, node {first.node!r}" + (f" in function {first.function}" if first.function else "")
        console.print(
            f"{check.path}: needs {' and '.join(check.libraries)} ops, as asked: not for stock TensorFlow Serving "
            f"({where})",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
