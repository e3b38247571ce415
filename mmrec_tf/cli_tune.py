"""`mmrec tune`: searches for settings, or goes on with it, and shows the best trials."""

import json
from dataclasses import asdict
from pathlib import Path

from mmrec_tf.cli_output import console, progress_bars, show_rows

_SHOWN = 10
"""Trials in the table."""


def run_tune(config: Path, out: Path, overwrite: bool, overrides: list[str] | None, as_json: bool) -> None:
    """Searches within the configuration's budget and shows what came of it.

    Raises:
        MmrecError: for a space that cannot be searched, a folder of another search, and whatever is wrong with
            configuration or data.
    """
    from mmrec_tf.config_file import load_config

    loaded = load_config(config, overrides)
    with progress_bars() as progress:
        from mmrec_tf.search.searching import search_settings

        result = search_settings(loaded, out, overwrite, progress)
    if as_json:
        print(json.dumps(_content(result), indent=2, ensure_ascii=False))
        return
    _show(result)


def _content(result) -> dict:
    return {
        "folder": str(result.folder),
        "metric": result.metric,
        "best_config": str(result.best_path),
        "best": asdict(result.best),
        "at_edge": [{**asdict(edge), "message": str(edge)} for edge in result.at_edge],
        "trials": [asdict(trial) for trial in result.trials],
    }


def _show(result) -> None:
    done = sorted((trial for trial in result.trials if trial.status == "done"), key=lambda trial: -trial.score)
    names = _short_names(list(result.space))
    ndcg = result.metric.split()[-1]
    rows = [
        (trial.number, trial.score, trial.epochs, round(trial.seconds), _told(trial.settings, names))
        for trial in done[:_SHOWN]
    ]
    title = f"{result.metric}: the best of {len(done)} trials" + (", trial 0 as configured" if done else "")
    show_rows(title, ("trial", ndcg, "epochs", "seconds", "settings"), rows)
    for status in ("failed", "refused"):
        some = [trial for trial in result.trials if trial.status == status]
        if some:
            text = f"{len(some)} {status}, the first of them trial {some[0].number}: {some[0].message}"
            console.print(text, highlight=False, markup=False)
    for edge in result.at_edge:
        console.print(f"[yellow]warning:[/] {edge}", highlight=False)
    console.print(
        f"best settings: {result.best_path}\nTrain with them: mmrec train {result.best_path}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _short_names(names: list[str]) -> dict[str, str]:
    """The settings' names by as few of their last parts as leave them different."""
    ends = {name: [name.split(".", cut)[-1] for cut in range(name.count("."), -1, -1)] for name in names}
    return {
        name: next(end for end in ends[name] if sum(end in others for others in ends.values()) == 1) for name in names
    }


def _told(settings: dict, names: dict[str, str]) -> str:
    return ", ".join(
        f"{short} {settings[name]:.3g}" if isinstance(settings[name], float) else f"{short} {settings[name]}"
        for name, short in names.items()
    )
