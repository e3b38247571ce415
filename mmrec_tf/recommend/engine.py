"""The whole chain as one TensorFlow graph: what the recommender runs and what the export saves."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.deepfm import DeepFM
from mmrec_tf.models.two_tower import TwoTower

NOTHING = float(np.finfo(np.float32).min)
"""Score of a place in a list that no item fills; the item id there is empty. Finite, so that it is valid JSON."""


class RecommendationEngine(tf.Module):
    """Answers with raw ids: lookup, retrieve, drop seen, rank, names.

    Everything it needs is inside, as variables and tables that a SavedModel tracks: no constant grows with the
    catalogue, every op is one of TensorFlow's own, and clients send the ids they know. A user who is not known is
    index 0, with an empty history: the query tower places them where the average user is.

    Args:
        retrieval: a trained `TwoTower`.
        ranking: a trained `DeepFM`, or None to keep the retrieval order.
        users, items: the `FeatureTable`s that the models were built with.
        sequences: the positives known at serving time, from which the histories come.
        candidates: int. Items that retrieval hands to the ranker.
        seen: every interaction known at serving time, liked or not: what is not recommended again. Defaults to
            `sequences`.
    """

    def __init__(
        self,
        retrieval: TwoTower,
        ranking: DeepFM | None,
        users: FeatureTable,
        items: FeatureTable,
        sequences: Sequences,
        candidates: int = 100,
        seen: Sequences | None = None,
    ):
        super().__init__()
        self.retrieval = retrieval
        self.ranking = ranking
        self.item_count = len(items.ids)
        self.candidates = min(candidates, self.item_count)
        self.user_table = _id_table(users.ids, "user_ids")
        self.item_table = _id_table(items.ids, "item_ids")
        self.item_ids = tf.Variable(np.array(["", *items.ids], dtype=object), trainable=False, name="item_names")
        self.item_embeddings = tf.Variable(retrieval.candidate_embeddings(), trainable=False, name="item_embeddings")
        histories = np.zeros((users.size, sequences.length), np.int32)
        histories[1:] = sequences.latest(np.arange(len(users.ids)))
        self.histories = tf.Variable(histories, trainable=False, name="histories")
        items_seen, splits = (sequences if seen is None else seen).items_by_user()
        self.seen = tf.Variable(items_seen, trainable=False, name="seen")
        # Index 0, the user who is not known, has seen nothing.
        self.seen_splits = tf.Variable(
            np.concatenate([[0], splits]).astype(np.int64), trainable=False, name="seen_splits"
        )

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids and scores, `[batch, k]` each, best first.

        Args:
            user_id: `[batch]` string.
            k: int32 scalar, at least 1. Places beyond the catalogue or beyond what is unseen hold `""` and the lowest
                float32.
        """
        users = self.user_index(user_id)
        candidates, scores = self.retrieve(users, tf.minimum(tf.maximum(k, self.candidates), self.item_count))
        if self.ranking is not None:
            scores = tf.where(candidates > 0, self.rank(users, candidates, scores), NOTHING)
        return self._names(candidates, scores, k)

    def retrieve_ids(self, user_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Like `recommend`, in retrieval order and with retrieval scores."""
        candidates, scores = self.retrieve(self.user_index(user_id), tf.minimum(k, self.item_count))
        return self._names(candidates, scores, k)

    def similar_items(self, item_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items nearest to each given item, itself left out; an unknown item has no neighbours."""
        index = self.item_index(item_id)
        # Without the last number, the popularity: what is liked by everybody is not like everything.
        places = self.item_embeddings[:, :-1]
        scores = tf.matmul(tf.gather(places, index), places, transpose_b=True)
        every = tf.range(self.item_count + 1)[None, :]
        hidden = (every == index[:, None]) | (every == 0) | (index[:, None] == 0)
        return self._names(*self._top(tf.where(hidden, NOTHING, scores), tf.minimum(k, self.item_count)), k)

    def embed_user(self, user_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 1]` query embeddings; see `TwoTower`."""
        return self._query(self.user_index(user_id))

    def embed_item(self, item_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 1]` candidate embeddings; zeros for items that are not known."""
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

    def retrieve(self, users: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The k items nearest to each user's query that they have not seen: indices (0 = none) and scores."""
        scores = tf.matmul(self._query(users), self.item_embeddings, transpose_b=True)
        seen = tf.gather(tf.RaggedTensor.from_row_splits(self.seen, self.seen_splits, validate=False), users)
        rows = tf.cast(seen.value_rowids(), tf.int32)
        # Index 0 stands for no item and is hidden from everybody.
        rows = tf.concat([rows, tf.range(tf.shape(users)[0])], axis=0)
        columns = tf.concat([seen.values, tf.zeros_like(users)], axis=0)
        hidden = tf.fill(tf.shape(rows), NOTHING)
        scores = tf.tensor_scatter_nd_update(scores, tf.stack([rows, columns], axis=1), hidden)
        return self._top(scores, k)

    def rank(self, users: tf.Tensor, items: tf.Tensor, similarities: tf.Tensor) -> tf.Tensor:
        """Scores `[batch, n]` of item indices: the ranker's, blended with the retrieval similarities.

        Divided by the sum of the blend's weights, which changes no order and keeps the scores near the ranker's own.
        """
        scores = self.ranking({**self._pairs(users, items), "similarity": similarities})
        return scores / (1.0 + self.ranking.similarity_weight)

    def _query(self, users):
        return self.retrieval.embed_query(users, tf.gather(self.histories, users))

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
