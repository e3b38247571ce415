"""What each stage of the chain puts in front of users: lists of item rows over the whole catalogue."""

import numpy as np

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.data.trends import Trends
from mmrec_tf.evaluation.evaluator import rank_by_embeddings, rank_items
from mmrec_tf.features.context_features import Context
from mmrec_tf.models.batched_calls import call_in_batches
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rows_at_once import rows_at_once
from mmrec_tf.models.two_tower import TwoTower


class StageLists:
    """Ranks the catalogue for users who are known by what they did before a moment.

    Args:
        before: what is known of the users: histories come from here.
        user_rows: `[n]` int. The users.
        profiles: sparse `[n, items]`. What each has seen and is not shown again.
        batch_size: int. Users at a time, fewer where all items of a large catalogue are scored.
        times: `[n]` float. When each of them asks; None where that is not known.
        trends: what the times' periods are; see `Trends`. Without times or trends all ask after the last period began.
        context: what is known of each user's request; None for nothing.
    """

    def __init__(
        self,
        before: Sequences,
        user_rows: np.ndarray,
        profiles,
        batch_size: int = 256,
        times: np.ndarray | None = None,
        trends: Trends | None = None,
        context: Context | None = None,
    ):
        self.asked = before.asked_now(user_rows, times)
        if context is not None:
            self.asked["context"] = context
        self.moments = None if times is None or trends is None else trends.periods(times)
        self.profiles = profiles
        self.batch_size = batch_size

    def retrieval(self, model: TwoTower, k: int) -> np.ndarray:
        """`[n, k]` item rows in retrieval order, -1 where nothing unseen is left."""
        queries, candidates = self.embeddings(model)
        if not model.remembers:
            return rank_by_embeddings(queries, candidates[1:], self.profiles, k)

        def scores(positions):
            return queries[positions] @ candidates[1:].T + self.memory(model, positions)

        # All scores of a batch are held at once.
        batch_size = rows_at_once(self.batch_size, len(candidates))
        return rank_items(scores, len(queries), self.profiles, k, batch_size=batch_size)

    def similarities(self, model: TwoTower, candidates: np.ndarray) -> np.ndarray:
        """`[n, m]` float32 similarities between the users and candidates (item rows, -1 for none)."""
        queries, items = self.embeddings(model)
        scores = np.stack([items[row + 1] @ query for query, row in zip(queries, candidates)])
        if model.remembers:
            most = rows_at_once(self.batch_size, len(items))
            for start in range(0, len(queries), most):
                rows = np.arange(start, min(start + most, len(queries)))
                # Item -1, none, takes the last item's number, which nobody looks at.
                scores[rows] += np.take_along_axis(self.memory(model, rows), candidates[rows], axis=1)
        return scores

    def scores(self, model: Ranker, candidates: np.ndarray, similarities: np.ndarray | None = None) -> np.ndarray:
        """`[n, m]` float32 scores of the ranker for candidates (item rows, -1 for none)."""
        inputs = {name: self.asked[name] for name in ("user_index", "history", "context") if name in self.asked}
        if self.moments is not None:
            inputs["moment"] = self.moments
        inputs["item_index"] = (candidates + 1).astype(np.int32)
        if similarities is not None:
            inputs["similarity"] = similarities
        return call_in_batches(model.call, inputs, batch_size=self.batch_size)

    def memory(self, model: TwoTower, positions: np.ndarray | None = None) -> np.ndarray:
        """`[n, items]` float32: what the neighbours of the users' latest items add to the score."""
        history = self.asked["history"] if positions is None else self.asked["history"][positions]
        most = rows_at_once(self.batch_size, model.items.lookup.size)
        return call_in_batches(model.remembered, history, batch_size=most)[:, 1:]

    def embeddings(self, model: TwoTower) -> tuple[np.ndarray, np.ndarray]:
        """Queries and candidates, index 0 (no item) included, whose dot product is the towers' score.

        Behind the places, `[:, dim]`, stands the popularity, and behind it the trend; of users who ask at different
        moments one number for each of these.
        """
        queries, candidates = model.query_embeddings(**self.asked), model.candidate_embeddings()
        if self.moments is None:
            return queries, candidates
        # The trend of each moment is a number of its own for the candidates, and for the queries that do not ask then
        # one that counts nothing.
        moments, place = np.unique(self.moments, return_inverse=True)
        gain = np.zeros((len(queries), len(moments)), np.float32)
        gain[np.arange(len(queries)), place] = queries[:, -1]
        trend = model.trend_scores(moments).T
        return np.concatenate([queries[:, :-1], gain], axis=1), np.concatenate([candidates[:, :-1], trend], axis=1)


def reordered(candidates: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Candidates (item rows, -1 for none) by falling score; ties keep their order, the nones come last."""
    order = np.argsort(np.where(candidates < 0, np.inf, -scores), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)


def predict_pairs(model: Ranker, pairs: dict[str, np.ndarray], batch_size: int = 8192) -> np.ndarray:
    """`[n]` float32 predictions for labelled pairs: the calibrated chance of a click, or the rating."""
    return np.asarray(model.predictions(score_pairs(model, pairs, batch_size)))


def score_pairs(model: Ranker, pairs: dict[str, np.ndarray], batch_size: int = 8192) -> np.ndarray:
    """`[n]` float32 scores for labelled pairs: the logit of a click, or the rating."""
    return score_targets(model, pairs, batch_size)[model.target]


def score_targets(model: Ranker, pairs: dict[str, np.ndarray], batch_size: int = 8192) -> dict[str, np.ndarray]:
    """Target -> `[n]` float32 scores for labelled pairs; see `Ranker.target_scores`."""
    inputs = {name: array for name, array in pairs.items() if name not in ("label", "targets")}
    return call_in_batches(model.target_scores, inputs, batch_size=batch_size)
