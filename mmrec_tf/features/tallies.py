"""What training interactions say together: popularity over time, grades, and what became of them."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import pandas as pd

from mmrec_tf.data.grades import Grades
from mmrec_tf.data.target_statistics import TargetStatistics
from mmrec_tf.data.trends import Trends, table_periods


class Tallies:
    """The part of `Prepared` that counts, and tells models what it has counted."""

    def trends(self, *later: pd.DataFrame) -> Trends | None:
        """Popularity over time by the training interactions and those that came later, positives only.

        None where the data do not tell time, or the configuration wants no half-lives. The periods are those of
        training, whatever came later; see `Trends`.
        """
        if not later or self._training_trends is None:
            return self._training_trends
        known = self.sequences(self.split.train, *later)
        starts = self._training_trends.starts
        return Trends.build(known.item_index, known.times, **self._trend_sizes, starts=starts)

    def target_statistics(self, *later: pd.DataFrame) -> TargetStatistics:
        """What became of the training interactions and of those that came later, for the ranker."""
        return TargetStatistics.fit(**self._labelled(pd.concat([self.split.train, *later])))

    def inform(self, model) -> None:
        """Tells a model that is to be trained what training interactions say of popularity and of targets."""
        _tell(model, self.trends(), lambda: (self.target_statistics(), self.training_statistics))

    def bring_up_to_date(self, models: Iterable, *later: pd.DataFrame) -> None:
        """Gives models, None for none, what interactions after training say of popularity and of targets."""
        trends = self.trends(*later)
        for model in models:
            _tell(model, trends, lambda: (self.target_statistics(*later),))

    @cached_property
    def grades(self) -> Grades | None:
        """How much training interactions were liked; None where the labels do not tell, or the ranker is not told."""
        if self.data.label is None or not self.config.models.ranking.learns_grades:
            return None
        train = self.split.train
        return Grades.fit(train[self.data.label].to_numpy(np.float32), self.data.is_positive(train))

    @cached_property
    def training_statistics(self) -> dict[str, np.ndarray]:
        """`[rows, columns]` by name: what each training interaction is told of the others."""
        return TargetStatistics.out_of_fold(**self._labelled(self.split.train), seed=self.config.seed)

    def _labelled(self, frame: pd.DataFrame) -> dict:
        users, items = self.rows(frame)
        return {
            "users": users + 1,
            "items": items + 1,
            "labels": self._judgements(frame),
            "sizes": (self.users.size, self.items.size),
            "lists": self.items.category_lists(),
        }

    def _judgements(self, frame):
        """`[rows]` float32: what statistics are told of interactions; NaN where there is nothing to tell."""
        if self.grades is None:
            return self.labels(frame)
        return self.grades.places_of(frame[self.data.label].to_numpy(np.float32))

    @cached_property
    def _training_trends(self) -> Trends | None:
        if not self.data.tells_time or not self.config.models.retrieval.trends.half_lives:
            return None
        train = self.sequences()
        return Trends.build(train.item_index, train.times, **self._trend_sizes)

    @property
    def _trend_sizes(self):
        options, size = self.config.models.retrieval.trends, self.items.size
        periods = table_periods(size, len(options.half_lives), options.periods)
        return {"size": size, "half_lives": tuple(options.half_lives), "periods": periods}


def _tell(model, trends, statistics):
    """Statistics are worked out for models that take them alone."""
    if trends is not None and model is not None:
        model.set_trends(trends)
    if getattr(model, "target_fields", None) is not None:
        model.set_statistics(*statistics())
