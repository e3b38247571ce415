"""`mmrec pretrain`: runs the stages of pretraining, or goes on with them, and says what came of each."""

import json
from pathlib import Path

from mmrec_tf.cli_output import console, progress_bars, show_rows


def run_pretrain(config: Path, overrides: list[str] | None, as_json: bool) -> None:
    """Runs the configuration's stages, those on encoders first.

    Raises:
        MmrecError: if the configuration has no stage, and for whatever is wrong with configuration or data.
    """
    from mmrec_tf.config_file import load_config
    from mmrec_tf.pretraining.running import stages_folder
    from mmrec_tf.workflow import pretrain_stages

    loaded = load_config(config, overrides)
    with progress_bars() as progress:
        results, left = pretrain_stages(loaded, progress)
    folder = stages_folder(loaded)
    content = {name: _about(result) for name, result in results.items()}
    if as_json:
        print(json.dumps({"folder": str(folder), "stages": content, "in_training": left}, indent=2, ensure_ascii=False))
        return
    if content:
        rows = [
            (name, *(about[key] for key in ("epochs", "first_loss", "last_loss", "seconds")), _done(about))
            for name, about in content.items()
        ]
        header = ("stage", "epochs", "first loss", "last loss", "seconds", "")
        show_rows(f"pretraining, kept in {folder}", header, rows)
    for name, reason in left.items():
        console.print(f"{name} runs in mmrec train: {reason}", highlight=False)


def _about(result) -> dict:
    losses = result.history.get("loss") or [None]
    return {
        "epochs": result.epochs or None,
        "reused_epochs": result.reused,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds": round(result.seconds, 1),
    }


def _done(about: dict) -> str:
    if not about["reused_epochs"]:
        return "computed"
    return "reused" if about["reused_epochs"] == about["epochs"] else f"resumed after epoch {about['reused_epochs']}"
