"""Settings of a peer chosen on the validation users: the same search and the same minutes for every peer.

The rule is that of `mmrec_tf.evaluation.choose_settings`: start from what the library suggests, try the neighbours of
each setting's value, walk on for as long as it gets better, and make the grid longer where its end is the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MOST_EXTENSIONS = 6
"""Values that are added to a setting's grid."""


@dataclass
class Setting:
    """One setting of a peer.

    Args:
        start: the library's own suggestion.
        values: what is worth trying, in rising order for numbers. Numbers above zero go on beyond both ends by the
            ratio of the last two; choices, which are booleans and words without an order, do not.
        low, high: where there is nothing beyond by nature, for numbers. None where a number can always be smaller, or
            larger; zero, and one of something that is counted, are the least without being told.
    """

    start: object
    values: list
    low: float | None = None
    high: float | None = None

    @property
    def is_choice(self) -> bool:
        return isinstance(self.start, (bool, str))


@dataclass
class Found:
    """The best settings, their score, everything that was tried, and what ended at the edge of the tried."""

    settings: dict
    score: float
    trials: list[tuple[dict, float]] = field(default_factory=list)
    at_edge: list[str] = field(default_factory=list)


def search(judge: Callable[[dict], float], settings: Mapping[str, Setting], has_time: Callable[[], bool]) -> Found:
    """Coordinate search that walks off its grid.

    Args:
        judge: settings -> score, higher is better.
        settings: name -> `Setting`.
        has_time: asked before every trial but the first.

    Returns:
        What was found.
    """
    grids = {name: _grid(setting) for name, setting in settings.items()}
    current = {name: setting.start for name, setting in settings.items()}
    known: dict[tuple, float] = {}

    def tried(candidate):
        key = tuple(candidate.values())
        if key not in known:
            if known and not has_time():
                return None
            known[key] = judge(dict(candidate))
        return known[key]

    score = tried(current)
    is_better = True
    while is_better:
        is_better = False
        for name, setting in settings.items():
            for value in _walk(grids[name], setting, lambda: current[name]):
                found = tried({**current, name: value})
                if found is None:
                    break
                if found > score:
                    current, score, is_better = {**current, name: value}, found, True
    trials = [(dict(zip(settings, key)), value) for key, value in known.items()]
    return Found(current, score, trials, _edges(settings, trials, current))


def _grid(setting):
    values = list(setting.values)
    if setting.start not in values:
        values = sorted([*values, setting.start])
    return values


def _walk(grid, setting, current):
    """Values worth trying: all choices; of numbers the neighbours up, then down, as long as each was an improvement."""
    if setting.is_choice:
        yield from [value for value in grid if value != current()]
        return
    for step in (1, -1):
        while (value := _neighbour(grid, current(), step, setting)) is not None:
            yield value
            if current() != value:
                break


def _neighbour(grid, value, step, setting):
    place = grid.index(value) + step
    if 0 <= place < len(grid):
        return grid[place]
    if len(grid) < 2 or len(grid) >= len(setting.values) + MOST_EXTENSIONS:
        return None
    inner = grid[grid.index(value) - step]
    if not value > 0 or not inner > 0:
        return None
    made = value * value / inner
    made = max(1, round(made)) if isinstance(value, int) else float(f"{made:.3g}")
    if setting.high is not None:
        made = min(made, setting.high)
    if setting.low is not None:
        made = max(made, setting.low)
    if made in grid:
        return None
    grid.insert(len(grid) if step > 0 else 0, made)
    return made


def _edges(settings, trials, chosen):
    """Names of what might have gone on: choices and numbers of which others are untried in the chosen's direction."""
    edges = []
    for name, setting in settings.items():
        tried = {trial[name] for trial, _ in trials}
        if setting.is_choice or len(tried) == 1:
            might_go_on = len(tried) < len(_grid(setting))
        else:
            might_go_on = (chosen[name] == min(tried) and not _is_least(chosen[name], setting)) or (
                chosen[name] == max(tried) and chosen[name] != setting.high
            )
        if might_go_on:
            edges.append(name)
    return edges


def _is_least(value, setting):
    return value in (0, setting.low) or (isinstance(value, int) and value == 1)
