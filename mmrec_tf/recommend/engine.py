"""The whole chain as one TensorFlow graph: what the recommender runs and what the export saves."""

from functools import cached_property

import numpy as np
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.modality_weights import weight_rows

NOTHING = float(np.finfo(np.float32).min)
"""Score of a place in a list that no item fills; the item id there is empty. Finite, so that it is valid JSON."""


class RecommendationEngine(tf.Module):
    """Answers with raw ids: lookup, retrieve, drop seen, rank, names.

    Everything it needs is inside, as variables and tables that a SavedModel tracks: no constant grows with the
    catalogue, every op is one of TensorFlow's own, and clients send the ids they know. A user who is not known is
    index 0, with an empty history: to them all items are equally near, and what is popular comes first.

    Args:
        retrieval: a trained `TwoTower`.
        ranking: a trained `Ranker`, or None to keep the retrieval order.
        users, items: the `FeatureTable`s that the models were built with.
        sequences: the positives known at serving time, from which the histories come.
        candidates: int. Items that retrieval hands to the ranker.
        seen: every interaction known at serving time, liked or not: what is not recommended again. Defaults to
            `sequences`.

    Attributes:
        modalities: the items' modalities, in alphabetical order.
    """

    def __init__(
        self,
        retrieval: TwoTower,
        ranking: Ranker | None,
        users: FeatureTable,
        items: FeatureTable,
        sequences: Sequences,
        candidates: int = 100,
        seen: Sequences | None = None,
    ):
        super().__init__()
        self.retrieval = retrieval
        self.ranking = ranking
        self.modalities = tuple(sorted(items.vectors))
        self.item_count = len(items.ids)
        self.candidates = min(candidates, self.item_count)
        self.user_table = _id_table(users.ids, "user_ids")
        self.item_table = _id_table(items.ids, "item_ids")
        self.item_ids = tf.Variable(np.array(["", *items.ids], dtype=object), trainable=False, name="item_names")
        self.item_embeddings = tf.Variable(retrieval.candidate_embeddings(), trainable=False, name="item_embeddings")
        histories = np.zeros((users.size, sequences.length), np.int32)
        gaps = np.zeros_like(histories)
        latest = sequences.asked_now(np.arange(len(users.ids)))
        histories[1:], gaps[1:] = latest["history"], latest["gaps"]
        self.histories = tf.Variable(histories, trainable=False, name="histories")
        self.gaps = tf.Variable(gaps, trainable=False, name="gaps")
        items_seen, splits = (sequences if seen is None else seen).items_by_user()
        self.seen = tf.Variable(items_seen, trainable=False, name="seen")
        # Index 0, the user who is not known, has seen nothing.
        self.seen_splits = tf.Variable(
            np.concatenate([[0], splits]).astype(np.int64), trainable=False, name="seen_splits"
        )

    @cached_property
    def modality_shares(self) -> tf.Variable:
        """`[items + 1, modalities * (dim + 2)]`: what each item's embedding loses when a modality is left out.

        The score is a dot product, so these turn the weights of a request into a second matrix product. They take the
        memory of the item embeddings once more for each modality (260 MB for a million items and 64 numbers), which
        is why they are only computed when they are first needed.
        """
        with tf.init_scope():
            whole, masks = self.item_embeddings.numpy(), self.retrieval.items.lookup.tables["masks"]
            shares = [
                np.where(masks[name].numpy()[:, None], whole - self.retrieval.candidate_embeddings(without=[name]), 0.0)
                for name in self.modalities
            ]
            shares = np.concatenate([*shares, np.zeros((len(whole), 0), np.float32)], axis=1)
            return tf.Variable(shares, trainable=False, name="modality_shares")

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids and scores, `[batch, k]` each, best first.

        Args:
            user_id: `[batch]` string.
            k: int32 scalar, at least 1. Places beyond the catalogue or beyond what is unseen hold `""` and the lowest
                float32.
        """
        return self._recommend(user_id, k)

    def recommend_weighted(
        self, user_id: tf.Tensor, k: tf.Tensor, modality: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Like `recommend`, with modalities of the items counting for more or for less in this request.

            score_w = score + sum_m (w_m - 1) (score - score without m)

        Weight 1 is the model as trained, 0 of one modality the model without it, and 2 counts it twice. In between and
        beyond, and over several modalities, the formula goes on linearly. It holds for the retrieval score, and in the
        ranker for the score of each retrieved candidate. What the user's history says is not weighed.

        Args:
            user_id, k: as for `recommend`.
            modality: `[batch, n]` string. See `weight_rows`; what is not named has weight 1.
            weight: `[batch, n]` float32 from 0 to `LARGEST_WEIGHT`.

        Raises:
            tf.errors.InvalidArgumentError: when the graph runs, for names and weights that are not allowed.
        """
        return self._recommend(user_id, k, weight_rows(modality, weight, self.modalities))

    def explain(self, user_id: tf.Tensor, item_id: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The score of (user, item) pairs, and how much of it each part of the item makes up.

        Args:
            user_id, item_id: `[batch]` string.

        Returns:
            `[batch]` scores as `recommend` orders by, seen or not; `[batch, parts]` contributions, each the score less
            the score without the part, 0 for what the item does not have; and `[batch, parts]` names of the parts, the
            modalities in alphabetical order and then `id`. An item that is not known has the lowest float32 as its
            score and contributions of 0.
        """
        users, items = self.user_index(user_id), self.item_index(item_id)
        lookup = self.retrieval.items.lookup
        queries = self._query(users)
        scores = self._score(queries, users, items)
        lost = [scores - self._score(queries, users, items, without=[name]) for name in self.modalities]
        lost.append(scores - self._score(queries, users, items, without_ids=True))
        present = [tf.gather(lookup.tables["masks"][name], items) for name in self.modalities]
        present.append(tf.gather(lookup.id_index, items) > 0)
        known = items > 0
        contributions = tf.where(tf.stack(present, axis=1) & known[:, None], tf.stack(lost, axis=1), 0.0)
        parts = tf.constant([*self.modalities, "id"])
        return tf.where(known, scores, NOTHING), contributions, tf.tile(parts[None, :], [tf.size(items), 1])

    def retrieve_ids(self, user_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Like `recommend`, in retrieval order and with retrieval scores."""
        candidates, scores = self.retrieve(self.user_index(user_id), tf.minimum(k, self.item_count))
        return self._names(candidates, scores, k)

    def similar_items(self, item_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items nearest to each given item, itself left out; an unknown item has no neighbours."""
        index = self.item_index(item_id)
        # Without popularity and trend: what is liked by everybody is not like everything.
        places = self.item_embeddings[:, : self.retrieval.dim]
        scores = tf.matmul(tf.gather(places, index), places, transpose_b=True)
        every = tf.range(self.item_count + 1)[None, :]
        hidden = (every == index[:, None]) | (every == 0) | (index[:, None] == 0)
        return self._names(*self._top(tf.where(hidden, NOTHING, scores), tf.minimum(k, self.item_count)), k)

    def embed_user(self, user_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 2]` query embeddings; see `TwoTower`."""
        return self._query(self.user_index(user_id))

    def embed_item(self, item_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 2]` candidate embeddings; zeros for items that are not known."""
        index = self.item_index(item_id)
        return tf.where(index[:, None] > 0, tf.gather(self.item_embeddings, index), 0.0)

    def rank_pairs(self, user_id: tf.Tensor, item_id: tf.Tensor) -> tf.Tensor:
        """`[batch]` predictions of the ranker for (user, item) pairs: the chance of a click, or the rating."""
        scores = self.ranking(self._pairs(self.user_index(user_id), self.item_index(item_id)))
        return tf.sigmoid(scores) if self.ranking.target == "click" else scores

    def user_index(self, user_id: tf.Tensor) -> tf.Tensor:
        """Table indices of raw ids; 0 for unknown ones."""
        return tf.ensure_shape(self.user_table.lookup(user_id), user_id.shape)

    def item_index(self, item_id: tf.Tensor) -> tf.Tensor:
        """Table indices of raw ids; 0 for unknown ones."""
        return tf.ensure_shape(self.item_table.lookup(item_id), item_id.shape)

    def retrieve(self, users: tf.Tensor, k: tf.Tensor, weights: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The k items nearest to each user's query that they have not seen: indices (0 = none) and scores.

        Args:
            users: `[batch]` int32.
            k: int32 scalar.
            weights: `[batch, modalities]` float32, or None for the model as trained.
        """
        queries = self._query(users)
        scores = tf.matmul(queries, self.item_embeddings, transpose_b=True)
        if self.retrieval.remembers:
            scores += self.retrieval.remembered(tf.gather(self.histories, users))
        if weights is not None and self.modalities:
            extra = tf.einsum("bm,bd->bmd", weights - 1.0, queries)
            extra = tf.reshape(extra, [-1, self.modality_shares.shape[1]])
            scores += tf.matmul(extra, self.modality_shares, transpose_b=True)
        seen = tf.gather(tf.RaggedTensor.from_row_splits(self.seen, self.seen_splits, validate=False), users)
        rows = tf.cast(seen.value_rowids(), tf.int32)
        # Index 0 stands for no item and is hidden from everybody.
        rows = tf.concat([rows, tf.range(tf.shape(users)[0])], axis=0)
        columns = tf.concat([seen.values, tf.zeros_like(users)], axis=0)
        hidden = tf.fill(tf.shape(rows), NOTHING)
        scores = tf.tensor_scatter_nd_update(scores, tf.stack([rows, columns], axis=1), hidden)
        return self._top(scores, k)

    def rank(
        self, users: tf.Tensor, items: tf.Tensor, similarities: tf.Tensor, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Scores `[batch, n]` of item indices: the ranker's, blended with the retrieval similarities.

        Divided by the sum of the blend's weights, which changes no order and keeps the scores near the ranker's own.

        Args:
            users: `[batch]` int32.
            items: `[batch, n]` int32.
            similarities: `[batch, n]` float32, weighted already where there are weights.
            weights: `[batch, modalities]` float32, or None for the model as trained.
        """
        pairs = self._pairs(users, items)
        if weights is None:
            return self._blended(self.ranking({**pairs, "similarity": similarities}))
        # Without the similarities, whose digits would drown the differences.
        plain = self.ranking(pairs)
        scores = plain + self.ranking.similarity_weight * similarities
        for place, name in enumerate(self.modalities):
            scores += (weights[:, place, None] - 1.0) * (plain - self.ranking(pairs, without=[name]))
        return self._blended(scores)

    def score(self, users: tf.Tensor, items: tf.Tensor, vectors: dict[str, tf.Tensor] | None = None) -> tf.Tensor:
        """`[batch]` scores of pairs of indices, as `recommend` orders by.

        Args:
            users, items: `[batch]` int32.
            vectors: dict of modality -> `[batch, width]` in place of the items' own, where these are there. The users'
                histories keep theirs, also where the item stands in them.
        """
        return self._score(self._query(users), users, items, vectors)

    def _recommend(self, user_id, k, weights=None):
        users = self.user_index(user_id)
        depth = tf.minimum(tf.maximum(k, self.candidates), self.item_count)
        candidates, scores = self.retrieve(users, depth, weights)
        if self.ranking is not None:
            scores = tf.where(candidates > 0, self.rank(users, candidates, scores, weights), NOTHING)
        return self._names(candidates, scores, k)

    def _score(self, queries, users, items, vectors=None, **left_out):
        candidates = self.retrieval.embed_candidate(items, vectors=vectors, **left_out)
        similarities = tf.reduce_sum(queries * candidates, axis=1)
        if self.retrieval.remembers and not left_out.get("without_ids"):
            remembered = self.retrieval.remembered(tf.gather(self.histories, users))
            similarities += tf.gather(remembered, items, batch_dims=1)
        if self.ranking is None:
            return similarities
        pairs = {**self._pairs(users, items), "similarity": similarities}
        return self._blended(self.ranking(pairs, vectors=vectors, **left_out))

    def _blended(self, scores):
        return scores / (1.0 + self.ranking.similarity_weight)

    def _query(self, users):
        return self.retrieval.embed_query(users, tf.gather(self.histories, users), gaps=tf.gather(self.gaps, users))

    def _pairs(self, users, items):
        return {"user_index": users, "history": tf.gather(self.histories, users), "item_index": items}

    @staticmethod
    def _top(scores, k):
        best, index = tf.math.top_k(scores, k)
        return tf.where(best > NOTHING, index, 0), best

    def _names(self, index, scores, k):
        scores, order = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        names = tf.gather(self.item_ids, tf.gather(index, order, batch_dims=1))
        missing = k - tf.shape(scores)[1]
        padding = [[0, 0], [0, missing]]
        return tf.pad(names, padding, constant_values=""), tf.pad(scores, padding, constant_values=NOTHING)


def _id_table(ids: list[str], name: str) -> tf.lookup.experimental.MutableHashTable:
    # A mutable table is saved with the variables; a static one would put every id into the graph as a constant.
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int32, default_value=0, name=name)
    table.insert(tf.constant(ids, tf.string), tf.range(1, len(ids) + 1, dtype=tf.int32))
    return table
