"""The whole chain as one TensorFlow graph: what the recommender runs and what the export saves."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.context_features import ContextFeatures
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.asked import Asked, Context, ContextInputs, with_given_history
from mmrec_tf.recommend.exact_search import ExactSearch, Wishes
from mmrec_tf.recommend.id_table import id_table, looked_up, string_variable
from mmrec_tf.recommend.index_choice import chosen_search
from mmrec_tf.recommend.item_rows import QuantizedRows, item_rows
from mmrec_tf.recommend.modality_weights import weight_rows
from mmrec_tf.recommend.pair_scores import PairScores
from mmrec_tf.recommend.ranker_rows import ranker_rows
from mmrec_tf.recommend.search import NOTHING


class RecommendationEngine(PairScores, tf.Module):
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
        context: the `ContextFeatures` that the models were built with; None, the default, where requests say nothing
            but who asks.
        removed: ids of items that are not returned to anybody any more, and still tell a taste where a history holds
            them. Defaults to none.
        index, recall: how items are searched; see `chosen_search`. Defaults to `exact`.
        table: how the search keeps the items' embeddings; see `item_rows`. Defaults to `float32`.

    Attributes:
        search: `ExactSearch`, `InvertedFile` or `ScannIndex`.
        table: how it keeps the items' embeddings.
        modalities: the items' modalities, in alphabetical order.
        example_users: ids of a few users.
        context_inputs: `ContextInputs`, or None.
        explorer: `Explorer`, what is added to the ranker's scores to find out more; None, unless it is set.
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
        context: ContextFeatures | None = None,
        removed: Iterable[str] = (),
        index: str = "exact",
        recall: float = 0.95,
        table: str = "float32",
    ):
        super().__init__()
        self.retrieval = retrieval
        self.ranking = ranking
        self.explorer = None
        self.ranker_rows = ranker_rows(ranking)
        self.modalities = tuple(sorted(items.vectors))
        self.example_users = tuple(users.ids[:3])
        self.item_count = len(items.ids)
        self.candidates = min(candidates, self.item_count)
        self.context_inputs = None if context is None else ContextInputs(context)
        self.user_table = id_table(users.ids, "user_ids")
        self.item_table = id_table(items.ids, "item_ids")
        self.item_ids = string_variable(["", *items.ids], "item_names")
        gone = np.isin(["", *items.ids], ["", *removed])
        # Index 0, which stands for no item, is never offered.
        self.is_offered = tf.Variable(~gone, trainable=False, name="is_offered")
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
        self.use_index(index, recall, table)

    def use_index(self, index: str, recall: float = 0.95, table: str = "float32") -> None:
        """Searches items in another way from here on; see `chosen_search` and `item_rows`.

        What has been traced into a graph stays as it is: choose before the first request.
        """
        self.table = table
        self.search = ExactSearch(item_rows(self.item_embeddings, table), self.is_offered)
        self.search = chosen_search(self, index, recall)
        # Whose rows stand in the index's order.
        vars(self).pop("modality_shares", None)

    @cached_property
    def modality_shares(self) -> tf.Variable | QuantizedRows:
        """`[rows, modalities * (dim + 2)]`: what each item's embedding loses when a modality is left out, by the
        index's rows.

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
            shares = tf.Variable(shares[self.search.order], trainable=False, name="modality_shares")
            return shares if self.table == "float32" else QuantizedRows(shares.numpy(), self.table)

    def recommend(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        exclude_ids: tf.Tensor | None = None,
        history_item_ids: tf.Tensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids and scores, `[batch, k]` each, best first.

        Args:
            user_id: `[batch]` string.
            k: int32 scalar, at least 1. Places beyond the catalogue or beyond what is unseen hold `""` and the lowest
                float32.
            exclude_ids: `[batch, n]` string, items that are not to be returned beside what the user has seen. Unknown
                ids, and `""`, exclude nothing.
            history_item_ids: `[batch, n]` string, the user's latest items, the last one last. They stand in for the
                stored ones in this request, and are not returned; a row without a known item keeps the stored ones.
            context: what else is known of the request, by the schema's names; see `ContextInputs`.
        """
        users = self.user_index(user_id)
        told = None if context is None or self.context_inputs is None else self.context_inputs(context)
        hidden = None if exclude_ids is None else self.item_index(exclude_ids)
        asked = self.asked(users, hidden, told)
        if history_item_ids is not None:
            asked = with_given_history(asked, self.item_index(history_item_ids))
        return self._recommend(asked, k)

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
        asked = self.asked(self.user_index(user_id))
        return self._recommend(asked, k, weight_rows(modality, weight, self.modalities))

    def retrieve_ids(self, user_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Like `recommend`, in retrieval order and with retrieval scores."""
        candidates, scores = self.retrieve(self.asked(self.user_index(user_id)), tf.minimum(k, self.item_count))
        return self._names(candidates, scores, k)

    def similar_items(self, item_id: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items nearest to each given item, itself left out; an unknown item has no neighbours."""
        index = self.item_index(item_id)
        queries, wishes = self.sought_near(index)
        items, scores = self.search(queries, tf.minimum(k, self.item_count), wishes)
        is_known = index[:, None] > 0
        return self._names(tf.where(is_known, items, 0), tf.where(is_known, scores, NOTHING), k)

    def embed_user(self, user_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 2]` query embeddings; see `TwoTower`."""
        return self._query(self.asked(self.user_index(user_id)))

    def embed_item(self, item_id: tf.Tensor) -> tf.Tensor:
        """`[batch, dim + 2]` candidate embeddings; zeros for items that are not known."""
        index = self.item_index(item_id)
        return tf.where(index[:, None] > 0, self.search.embeddings_of(index), 0.0)

    def user_index(self, user_id: tf.Tensor) -> tf.Tensor:
        """Table indices of raw ids; 0 for unknown ones."""
        return looked_up(self.user_table, user_id)

    def item_index(self, item_id: tf.Tensor) -> tf.Tensor:
        """Table indices of raw ids; 0 for unknown ones."""
        return looked_up(self.item_table, item_id)

    def asked(self, users: tf.Tensor, hidden: tf.Tensor | None = None, context: Context | None = None) -> Asked:
        """Requests of users with what is stored of them.

        Args:
            users: `[batch]` int32.
            hidden: `[batch, n]` int32 items that are not to be returned; 0 for none.
            context: what else is known, as numbers.
        """
        return Asked(users, tf.gather(self.histories, users), tf.gather(self.gaps, users), hidden, context)

    def retrieve(self, asked: Asked, k: tf.Tensor, weights: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The k items nearest to each query that are not seen nor hidden: `[batch, k]` indices (0 = none) and scores.

        Args:
            asked: the requests.
            k: int32 scalar.
            weights: `[batch, modalities]` float32, or None for the model as trained.
        """
        queries, wishes = self.sought_for(asked)
        if weights is None or not self.modalities:
            return self.search(queries, k, wishes)
        shares = tf.reshape(tf.einsum("bm,bd->bmd", weights - 1.0, queries), [-1, self.modality_shares.shape[1]])
        return self.search(queries, k, wishes._replace(shares=shares), self.modality_shares)

    def sought_for(self, asked: Asked) -> tuple[tf.Tensor, Wishes]:
        """The queries of requests, and what else the search is told."""
        wishes = Wishes(*self._hidden(asked))
        if self.retrieval.remembers:
            pairs = [memory.pairs(asked.history) for memory in self.retrieval.memories.values()]
            added, values = (tf.concat(parts, axis=1) for parts in zip(*pairs))
            wishes = wishes._replace(added=added, values=values)
        return self._query(asked), wishes

    def sought_near(self, items: tf.Tensor) -> tuple[tf.Tensor, Wishes]:
        """The same for what lies near each of `[batch]` items, itself left out."""
        # Without popularity and trend: what is liked by everybody is not like everything.
        places = self.search.embeddings_of(items)[:, : self.retrieval.dim]
        return tf.pad(places, [[0, 0], [0, 2]]), Wishes(tf.range(tf.size(items)), items)

    def rank(
        self, asked: Asked, items: tf.Tensor, similarities: tf.Tensor, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Scores `[batch, n]` of item indices: the ranker's, blended with the retrieval similarities.

        Divided by the sum of the blend's weights, which changes no order and keeps the scores near the ranker's own.

        Args:
            asked: the requests.
            items: `[batch, n]` int32.
            similarities: `[batch, n]` float32, weighted already where there are weights.
            weights: `[batch, modalities]` float32, or None for the model as trained.
        """
        pairs = self._pairs(asked, items)
        if weights is None:
            return self._blended(self._ranked({**pairs, "similarity": similarities}))
        # Without the similarities, whose digits would drown the differences.
        plain = self._ranked(pairs)
        scores = plain + self.ranking.similarity_weight * similarities
        if self.modalities:
            shares = plain[:, None] - self._ranked_without_each_part(pairs)
            scores += tf.reduce_sum((weights - 1.0)[:, :, None] * shares, axis=1)
        return self._blended(scores)

    def _recommend(self, asked, k, weights=None):
        depth = tf.minimum(tf.maximum(k, self.candidates), self.item_count)
        candidates, scores = self.retrieve(asked, depth, weights)
        if self.ranking is not None:
            scores = self.rank(asked, candidates, scores, weights)
            if self.explorer is not None:
                scores += self._blended(self.explored(asked, candidates))
            scores = tf.where(candidates > 0, scores, NOTHING)
        return self._names(candidates, scores, k)

    def _hidden(self, asked):
        """Rows and items that are not to be returned: what was seen, and what the requests hide."""
        seen = tf.gather(tf.RaggedTensor.from_row_splits(self.seen, self.seen_splits, validate=False), asked.users)
        rows, columns = tf.cast(seen.value_rowids(), tf.int32), seen.values
        if asked.hidden is not None:
            each = tf.repeat(tf.range(tf.size(asked.users)), tf.shape(asked.hidden)[1])
            rows, columns = tf.concat([rows, each], 0), tf.concat([columns, tf.reshape(asked.hidden, [-1])], 0)
        return rows, columns

    def _names(self, index, scores, k):
        scores, order = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        names = tf.gather(self.item_ids, tf.gather(index, order, batch_dims=1))
        missing = k - tf.shape(scores)[1]
        padding = [[0, 0], [0, missing]]
        return tf.pad(names, padding, constant_values=""), tf.pad(scores, padding, constant_values=NOTHING)
