"""What the scripts of the peers of both benchmarks have in common: their arguments, the search of settings within its
minutes, and the facts of a fit in a file."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from peer_search import Setting, search

PATIENCE = 5
"""Yields without a better validation score after which a fit ends."""

TRIAL_SHARE = 0.2
"""Share of the budget that one trial may take, so that slow models too are tuned: by what they reach in that time."""


class PeerTask:
    """One call of a peer's script, from the command line: `tune NAME` or `fit NAME`.

    Args:
        names: of the peers of the script.
        data: what the peers are trained on, and the argument that names its file.

    Attributes:
        is_search: bool. Whether settings are to be chosen.
        name, out, minutes, seed: as given.
        data: path of the file.
    """

    def __init__(self, names, data: str):
        parser = argparse.ArgumentParser()
        parser.add_argument("task", choices=("tune", "fit"))
        parser.add_argument("name", choices=list(names))
        parser.add_argument(f"--{data}", type=Path, required=True)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--minutes", type=float, required=True, help="budget of the search, or longest fit")
        parser.add_argument("--seed", type=int, default=42)
        given = parser.parse_args()
        given.out.mkdir(parents=True, exist_ok=True)
        self.is_search = given.task == "tune"
        self.name, self.out, self.minutes, self.seed = given.name, given.out, given.minutes, given.seed
        self.data = getattr(given, data)
        self.deadline = time.perf_counter() + 60.0 * self.minutes

    @property
    def settings(self) -> dict:
        """Those that the search has chosen."""
        return json.loads(self._chosen.read_text(encoding="utf-8"))["settings"]

    def keep_settings(self, found: dict) -> None:
        """Writes what `tune` gave."""
        write_json(self._chosen, found)

    @property
    def _chosen(self):
        return self.out / f"{self.name}.settings.json"


def tune(
    settings: Mapping[str, Setting],
    fit: Callable[[dict, float], dict],
    measure: str,
    minutes: float,
    is_judged: bool,
) -> dict:
    """The chosen settings and how they were found. The last trial ends with the budget.

    Args:
        settings: what is tuned.
        fit: (settings, deadline by `time.perf_counter`) -> dict with `validation_<measure>` and `passes`.
        measure: str. What the settings are judged by.
        minutes: float. The budget.
        is_judged: bool. Whether validation has what it takes to judge; else the first settings stand.
    """
    started = time.perf_counter()
    deadline = started + 60.0 * minutes
    longest = 60.0 * minutes * TRIAL_SHARE
    if not settings or not is_judged:
        first = {name: setting.start for name, setting in settings.items()}
        return {"settings": first, "trials": 0, "at_edge": list(first), "tuning_seconds": 0.0}
    score = f"validation_{measure}"

    def judge(tried):
        fitted = fit(tried, min(deadline, time.perf_counter() + longest))
        print(f"{fitted[score]:.4f} after {fitted['passes']:g} passes: {tried}", flush=True)
        return fitted[score]

    found = search(judge, settings, lambda: time.perf_counter() < deadline)
    return {
        "settings": found.settings,
        "trials": len(found.trials),
        "at_edge": found.at_edge,
        score: found.score,
        "tuning_seconds": time.perf_counter() - started,
        "log": [{"settings": tried, score: value} for tried, value in found.trials],
    }


def peak_memory() -> float:
    """The most megabytes that this process has held at a time."""
    status = Path("/proc/self/status")
    if status.is_file():
        # `ru_maxrss` begins with the size of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024.0
    scale = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def threads() -> int:
    """How many threads a peer may use; 0 for its own choice."""
    return int(os.environ.get("OMP_NUM_THREADS", "0"))
