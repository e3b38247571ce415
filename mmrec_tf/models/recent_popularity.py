"""What is popular now: on catalogues that change, ahead of most models that do not look at the clock."""

from __future__ import annotations

import numpy as np

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData

_DAY = 86_400.0
_USUAL = 90.0
_HALF_LIVES = (0.25, 1.0, 3.0, 10.0, 30.0, _USUAL, 365.0, 1095.0, 3650.0)
"""Days that are tried where validation users can tell."""


class RecentPopularity(RecommenderModel):
    """Recommends what was consumed most often lately, where an interaction loses half its weight in `half_life` days.

        score(i, t) = sum over interactions (i, s) that are known, with s < t, of 0.5^((t - s) / half_life)

    `t` is the moment of each request. Nothing that happened at that moment or later counts, so that a held-out
    interaction in the middle of the training period (leave-one-out) is judged by what was known when it happened, and
    one after the training period (a split in time) by the whole of training and what it was brought up to date with.
    Without `asked.times`, `t` is just after the last interaction. As a list depends on the order alone, and the weights
    of all items fade by the same factor, it makes no difference how long after the end of training somebody asks.

    Each row `[n_items]` of the scores is divided by its largest, so that no number vanishes in a long silence; before
    the first interaction nothing is known and all are zero.

    How quickly fashions fade is a property of the catalogue (days for news and groceries, years for films), so the
    half-life is chosen on the validation users where there are some: from 90 days on, shorter and longer ones between
    six hours and ten years are tried for as long as the lists get better. `chosen_half_life` is what was taken.

    Args:
        half_life: float. Days after which an interaction counts half. Defaults to None: chosen as above, 90 without
            validation users.

    Raises:
        ConfigError: if `half_life` is not above zero.
        DataError: from `fit`, if the training data have no times.
    """

    def __init__(self, half_life: float | None = None):
        if half_life is not None and not half_life > 0.0:
            raise ConfigError(f"half_life must be above 0 days, got {half_life}.")
        self.half_life = half_life

    def check(self, training: TrainingData) -> None:
        if training.times is None or training.item_rows is None:
            raise DataError(
                "recent_popularity needs the moments of the interactions: declare a timestamp feature in "
                "schema.context, or leave recent_popularity out of evaluation.baselines."
            )

    def fit(self, training: TrainingData, progress: Progress | None = None) -> RecentPopularity:
        self.check(training)
        self.bring_up_to_date(training)
        self.chosen_half_life = self.half_life or _USUAL
        if self.half_life is None and training.held_out is not None:
            self._choose(training.held_out)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        times, items = np.asarray(interactions.times, np.float64), np.asarray(interactions.item_rows)
        if interactions.is_positive is not None:
            times, items = times[interactions.is_positive], items[interactions.is_positive]
        order = np.argsort(times, kind="stable")
        self.times, self.item_rows = times[order], items[order]
        self.n_items = interactions.n_items

    def score(self, asked: Asked) -> np.ndarray:
        if asked.times is None:
            latest = self._swept(np.array([np.inf]))[0]
            return np.tile(latest, (len(asked), 1))
        moments, places = np.unique(np.asarray(asked.times, np.float64), return_inverse=True)
        return self._swept(moments)[places]

    def _choose(self, held_out):
        def judged(half_life):
            self.chosen_half_life = half_life
            return held_out.judge(self.recommend(held_out.asked, held_out.k))

        best, score = _USUAL, judged(_USUAL)
        for direction in (1, -1):
            place = _HALF_LIVES.index(best) + direction
            while 0 <= place < len(_HALF_LIVES) and (found := judged(_HALF_LIVES[place])) > score:
                best, score = _HALF_LIVES[place], found
                place += direction
        self.chosen_half_life = best

    def _swept(self, moments):
        """Scores `[moments, n_items]` at rising moments, in one pass over the interactions."""
        scores = np.zeros((len(moments), self.n_items), np.float32)
        weights, now, done = np.zeros(self.n_items), 0.0, 0
        for row, until in enumerate(np.searchsorted(self.times, moments, side="left")):
            if until > done:
                # Weights are kept as of the latest interaction that counts: what fades since then fades for all.
                latest = self.times[until - 1]
                weights *= self._faded(latest - now) if done else 0.0
                fresh = self._faded(latest - self.times[done:until])
                weights += np.bincount(self.item_rows[done:until], fresh, minlength=self.n_items)
                now, done = latest, until
            scores[row] = weights / max(weights.max(initial=0.0), np.finfo(np.float64).tiny)
        return scores

    def _faded(self, seconds):
        return 0.5 ** (seconds / (_DAY * self.chosen_half_life))
