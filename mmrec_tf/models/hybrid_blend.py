"""Several recommenders as one: their scores blended with weights that validation users decide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.content_profile import ContentProfile
from mmrec_tf.models.ease import Ease
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.matrix_factorization import MatrixFactorization
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import (
    Asked,
    HeldOut,
    Progress,
    RecommenderModel,
    TrainingData,
    best_columns,
    stored_entries,
)
from mmrec_tf.models.rows_at_once import rows_at_once
from mmrec_tf.models.user_knn import UserKnn

_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the whole that are tried for one component, the others keeping their proportions."""

_DEPTH = 100
"""Best items of each component among which the blend looks for weights."""

_ROWS = 256
"""The most users scored at a time."""


class HybridBlend(RecommenderModel):
    """Recommends by the weighted sum of other recommenders' standardised scores.

    Neighbours know who consumed what, content knows what an item is, popularity knows what is in fashion; where one
    has nothing to say another has. Scores of different models have different units, so each user's scores of one
    component are brought to mean 0 and standard deviation 1 over the items the user has not seen:

        score(u, i) = sum_c w_c (s_c(u, i) - mean_c(u)) / deviation_c(u),    w_c >= 0, sum_c w_c = 1

    A component that scores all items the same adds nothing. The weights are fitted on validation users by coordinate
    search on NDCG@k: from the best single component on, each component's share of the whole is tried from 0 to 0.9 in
    turn until no change is better. The search looks at the hundred best items of each component for every user, so it
    costs no more on a large catalogue. `weights` holds what was found, `single_scores` and `score_found` what it is
    worth on validation.

    Args:
        components: name -> unfitted recommender. Defaults to None: item-KNN, user-KNN, matrix factorisation; EASE
            where the catalogue is no larger than it takes; recent popularity where there are times; content where
            items have media.
        seed: int. For those of the default components that start from random numbers. Defaults to 0.

    Raises:
        ConfigError: if `components` is empty.
        DataError: from `fit`, without validation users.

    Reference: Burke, Hybrid recommender systems: survey and experiments (2002), the weighted kind.
    """

    def __init__(self, components: Mapping[str, RecommenderModel] | None = None, seed: int = 0):
        if components is not None and not components:
            raise ConfigError("components is empty; name at least one recommender, or leave it out.")
        self.components = components
        self.seed = seed

    def check(self, training: TrainingData) -> None:
        if training.held_out is None or not len(training.held_out.asked):
            raise DataError(
                "hybrid fits its weights on validation users, and there are none: hold some out with split.validation, "
                "or leave hybrid out of evaluation.baselines."
            )
        for model in (self.components or {}).values():
            model.check(training)

    def fit(self, training: TrainingData, progress: Progress | None = None) -> HybridBlend:
        self.check(training)
        chosen = self.default_components(training) if self.components is None else self.components
        self.fitted = {name: model.fit(training, progress) for name, model in chosen.items()}
        self.weights = self._found_weights(training.held_out, progress)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        for model in self.fitted.values():
            model.bring_up_to_date(interactions)

    def score(self, asked: Asked) -> np.ndarray:
        scores = np.zeros(asked.profiles.shape, np.float32)
        for name, weight in self.weights.items():
            if weight > 0.0:
                scores += np.float32(weight) * _standardised(self.fitted[name].score(asked), asked)
        return scores

    def default_components(self, training: TrainingData) -> dict[str, RecommenderModel]:
        """The components that are blended when none are named, unfitted: those that the data can feed."""
        components = {
            "item_knn": ItemKnn(),
            "user_knn": UserKnn(),
            "matrix_factorization": MatrixFactorization(seed=self.seed),
        }
        if np.count_nonzero(np.diff(training.positives.tocsc().indptr)) <= Ease().max_items:
            components["ease"] = Ease()
        if training.times is not None:
            components["recent_popularity"] = RecentPopularity()
        if training.items is not None and training.items.vectors:
            components["content"] = ContentProfile()
        return components

    def _found_weights(self, held_out, progress):
        items, values = self._candidates(held_out, progress)

        def judged(weights):
            blended = np.where(items >= 0, values @ weights, -np.inf)
            best = best_columns(blended, min(held_out.k, blended.shape[1]))
            lists = np.take_along_axis(items, best, axis=1)
            return held_out.judge(np.pad(lists, ((0, 0), (0, held_out.k - lists.shape[1])), constant_values=-1))

        singles = np.eye(values.shape[2], dtype=np.float32)
        scores = [judged(weights) for weights in singles]
        self.single_scores = dict(zip(self.fitted, map(float, scores)))
        weights, score = singles[int(np.argmax(scores))], max(scores)
        is_better = True
        while is_better:
            is_better = False
            for place, single in enumerate(singles):
                rest = weights * (1.0 - single)
                if not rest.any():
                    continue
                for share in _SHARES:
                    tried = (1.0 - share) * rest / rest.sum() + share * single
                    found = judged(tried.astype(np.float32))
                    if found > score:
                        weights, score, is_better = tried.astype(np.float32), found, True
        self.score_found = float(score)
        return {name: float(weight) for name, weight in zip(self.fitted, weights)}

    def _candidates(self, held_out: HeldOut, progress):
        """The best unseen items `[users, n]`, -1 for none, and their scores `[users, n, components]`."""
        asked, depth = held_out.asked, max(_DEPTH, 5 * held_out.k)
        n_items = asked.profiles.shape[1]
        depth = min(depth, n_items)
        items = np.full((len(asked), depth * len(self.fitted)), -1, np.int32)
        values = np.zeros((*items.shape, len(self.fitted)), np.float32)
        # The scores of all components are held together.
        most = rows_at_once(_ROWS, n_items, len(self.fitted))
        for start in range(0, len(asked), most):
            some = asked[start : start + most]
            seen = stored_entries(some.profiles)
            scores = [_standardised(model.score(some), some) for model in self.fitted.values()]
            is_candidate = np.zeros((len(some), n_items), bool)
            for own in scores:
                own[seen] = -np.inf
                np.put_along_axis(is_candidate, best_columns(own, depth), True, axis=1)
            is_candidate[seen] = False
            rows, columns = np.nonzero(is_candidate)
            places = np.arange(len(rows)) - np.searchsorted(rows, np.arange(len(some)))[rows]
            items[start + rows, places] = columns
            for number, own in enumerate(scores):
                values[start + rows, places, number] = own[rows, columns]
            if progress:
                progress("fitting the blend", start + len(some), len(asked))
        return items, values


def _standardised(scores, asked):
    """Each row less its mean, by its deviation, both over the items not in the profile."""
    scores = np.array(scores, np.float32)
    rows, columns = stored_entries(asked.profiles)
    seen = scores[rows, columns].astype(np.float64)
    left = np.maximum(scores.shape[1] - np.diff(asked.profiles.indptr), 1)
    mean = (scores.sum(axis=1, dtype=np.float64) - np.bincount(rows, seen, minlength=len(scores))) / left
    scores -= mean[:, None].astype(np.float32)
    squares = np.einsum("ij,ij->i", scores, scores, dtype=np.float64)
    squares -= np.bincount(rows, scores[rows, columns].astype(np.float64) ** 2, minlength=len(scores))
    deviation = np.sqrt(np.maximum(squares, 0.0) / left)
    is_flat = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
    scores /= np.where(is_flat, 1.0, deviation)[:, None].astype(np.float32)
    scores[is_flat] = 0.0
    return scores
