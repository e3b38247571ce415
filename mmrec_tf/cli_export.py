"""`mmrec check-export`: whether TensorFlow Serving can run what was exported."""

import json
from pathlib import Path

from mmrec_tf.cli_output import console, show_rows
from mmrec_tf.errors import ServingError


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
        rows = [
            (check.path, len(check.ops), "TF.Text" if check.needs_text else "", len(check.refusals)) for check in checks
        ]
        show_rows("checked", ("SavedModel", "kinds of ops", "beside the core ops", "refused"), rows)
        for check, refusal in refused:
            console.print(f"{check.path}: {refusal}", highlight=False, markup=False)
    if refused:
        models = len({check.path for check, _ in refused})
        first = refused[0][1]
        raise ServingError(
            f"TensorFlow Serving would not run {models} of {len(checks)} models; the first op: {first}. Replace the "
            "layer that brought it, and write the next version with: mmrec export RUN"
        )
