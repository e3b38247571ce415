"""A benchmark's rows: their configurations, and their figures by seed in a file that a stopped call goes on from."""

from __future__ import annotations

import json
from pathlib import Path

from results_folder import changed_settings

from mmrec_tf.config import Config
from mmrec_tf.config_file import load_config
from mmrec_tf.data.whole_files import write_whole
from mmrec_tf.errors import RunError
from mmrec_tf.fusion.registry import build_fusion

Figures = dict[str, dict[str, dict[str, float]]]
"""Row -> seed -> measure -> value."""


class KeptFigures:
    """What is done, kept after every model.

    Args:
        path: the file; None to keep nothing.
        asked: what all figures are measured with and have in common; `config` is YAML, as `dump_config` gives it, and
            `data` a fingerprint.
        rows: row -> the settings that make it.

    Raises:
        RunError: when the file holds figures that were measured with something else.
    """

    def __init__(self, path: Path | None, asked: dict, rows: dict[str, list[str]]):
        self.path, self.asked, self.rows, self.figures = path, asked, dict(rows), {}
        if path is None or not path.is_file():
            return
        try:
            found = json.loads(path.read_text("utf-8"))
            known, earlier, self.figures = found["asked"], found["rows"], found["figures"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} does not say what its figures were measured with. Give another --json, or delete that file."
            ) from error
        differs = [_changed(name, known.get(name), value) for name, value in asked.items() if known.get(name) != value]
        differs += [
            f"{row} with {' '.join(earlier[row]) or 'nothing'}, now {' '.join(settings) or 'nothing'}"
            for row, settings in rows.items()
            if row in earlier and earlier[row] != settings
        ]
        if differs:
            raise RunError(
                f"{path} holds figures of something else: {'; '.join(differs)}. Give another --json, or delete that "
                "file."
            )
        self.rows = {**earlier, **rows}

    def is_done(self, row: str, seed: int) -> bool:
        return str(seed) in self.figures.get(row, {})

    def keep(self, row: str, seed: int, figures: dict[str, float]) -> None:
        """Adds a model's figures, to the file too."""
        self.figures.setdefault(row, {})[str(seed)] = figures
        if self.path is not None:
            content = json.dumps({"asked": self.asked, "rows": self.rows, "figures": self.figures}, indent=1) + "\n"
            write_whole(self.path, lambda file: file.write(content.encode()))

    def of(self, rows: list[str], seeds: list[int]) -> Figures:
        """Those of these rows and seeds, whatever else an earlier call has left."""
        return {row: {str(seed): self.figures[row][str(seed)] for seed in seeds} for row in rows}


def row_configs(
    path: Path, shared: list[str], rows: dict[str, list[str]], seeds: list[int]
) -> dict[tuple[str, int], Config]:
    """(row, seed) -> its configuration; what is wrong with one is said before anything is trained.

    Args:
        path: the configuration's file.
        shared: settings of all rows, as for `mmrec train --set`.
        rows: row -> its own.
        seeds: of the models.

    Raises:
        ConfigError: when a setting is not valid, or a fusion cannot be built.
    """
    found = {}
    for row, settings in rows.items():
        for seed in seeds:
            config = load_config(path, [*shared, *settings, f"seed={seed}"])
            build_fusion(config.fusion.model_copy(update={"dim": config.models.retrieval.dim}))
            found[row, seed] = config
    return found


def _changed(name, known, asked):
    if name == "config":
        return changed_settings(known, asked)
    return "other interactions" if name == "data" else f"{name} {known}, now {asked}"
