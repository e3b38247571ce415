"""Settings of a baseline chosen on validation users, with the same rule and budget for every model.

A baseline with the settings of another data set is no baseline. The search walks instead of trying every combination,
and walks on where a value at the end of a list is the best, so that no chosen setting stands at an edge for want of
trying.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmrec_tf.errors import DataError
from mmrec_tf.models.recommender_model import RecommenderModel, TrainingData

Progress = Callable[[str, int, int], None]

_MOST_EXTENSIONS = 4
"""Values that are added to a list, behind both of its ends together."""


@dataclass
class Chosen:
    """What a search found.

    Args:
        model: the fitted recommender with the best settings.
        settings: setting -> value.
        score: float. Its NDCG@k on the validation users.
        seconds: float. What fitting it took.
        trials: settings and score of everything that was tried, in order.
        at_edge: settings whose value is the last that was tried in its direction although the list could go on.
    """

    model: RecommenderModel
    settings: dict
    score: float
    seconds: float
    trials: list[tuple[dict, float]] = field(default_factory=list)
    at_edge: list[str] = field(default_factory=list)


def choose_settings(
    build: Callable[..., RecommenderModel],
    search: Mapping[str, Sequence],
    training: TrainingData,
    minutes: float = float("inf"),
    progress: Progress | None = None,
) -> Chosen:
    """The settings with the best lists for the validation users, by coordinate search.

    It starts from the model's own defaults, tries the neighbours of each setting's value in its list, moves to the
    better one and on in that direction for as long as it gets better, and stops when no setting's neighbour is better.
    At the end of a list of positive numbers it goes on by the ratio of the last two values, up to four times in all
    for both ends. A list of one value, the default itself, leaves nothing to try.

    Args:
        build: makes an unfitted recommender from settings.
        search: setting -> values in rising order.
        training: training data with validation users.
        minutes: float. No new trial is begun after these; the first is always run. Defaults to no limit.
        progress: called with (description, trials done, trials done).

    Returns:
        The fitted best, and how it was found.

    Raises:
        DataError: when there are no validation users.
    """
    if training.held_out is None:
        raise DataError(
            "settings are chosen on validation users, and there are none: hold some out with split.validation."
        )
    started = time.perf_counter()
    values = {name: list(options) for name, options in search.items()}
    known: dict[tuple, float] = {}
    best: Chosen | None = None
    current = _start(build, values)
    most = {name: len(options) + _MOST_EXTENSIONS for name, options in values.items()}
    trials: list[tuple[dict, float]] = []

    def tried(settings):
        """The score of some settings; None when there is no time left."""
        nonlocal best
        key = tuple(settings[name] for name in values)
        if key in known:
            return known[key]
        if best is not None and time.perf_counter() - started > 60.0 * minutes:
            return None
        began = time.perf_counter()
        model = build(**settings).fit(training)
        seconds = time.perf_counter() - began
        score = training.held_out.judge(model.recommend(training.held_out.asked, training.held_out.k))
        known[key] = score
        trials.append((dict(settings), score))
        if best is None or score > best.score:
            best = Chosen(model, dict(settings), score, seconds)
        if progress:
            progress("choosing settings", len(trials), len(trials))
        return score

    score = tried(current)
    is_better = True
    while is_better:
        is_better = False
        for name in values:
            for step in (1, -1):
                while (value := _neighbour(values[name], current[name], step, most[name])) is not None:
                    found = tried({**current, name: value})
                    if found is None or found <= score:
                        break
                    current, score, is_better = {**current, name: value}, found, True
    best.trials = trials
    several = [name for name, options in values.items() if len(options) > 1]
    best.at_edge = [name for name in several if _is_at_edge([settings[name] for settings, _ in trials], current[name])]
    return best


def _start(build, values):
    """The model's defaults, which are put into the lists where they are not among them."""
    model = build()
    start = {name: getattr(model, name) for name in values}
    for name, value in start.items():
        if value not in values[name]:
            values[name] = sorted([*values[name], value])
    return start


def _neighbour(values, value, step, most):
    """The next value in a direction, made up at the end of a list; None where there is none."""
    place = values.index(value) + step
    if 0 <= place < len(values):
        return values[place]
    if not 2 <= len(values) < most:
        return None
    inner = values[values.index(value) - step]
    if not value > 0 or not inner > 0:
        return None
    made = value * value / inner
    made = max(1, round(made)) if isinstance(value, int) else float(f"{made:.3g}")
    if made in values:
        return None
    values.insert(len(values) if step > 0 else 0, made)
    return made


def _is_at_edge(tried, value):
    # Zero is the end of a list by nature.
    return value in (min(tried), max(tried)) and value != 0
